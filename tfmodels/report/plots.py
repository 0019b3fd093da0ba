"""Figures of a run, drawn by matplotlib without a window or global state."""

import csv
import io
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from tfmodels import evaluation
from tfmodels.errors import RunError
from tfmodels.safe_files import new_file, open_file

if TYPE_CHECKING:  # importing it loads TensorFlow, which fusing does not need
    import keras

DPI = 150
MANY_CLASSES = 30  # above, a confusion matrix has no numbers
LARGEST = 14.0  # inches of a confusion matrix
MOST_TICKS = 60  # class names on an axis
CURVES = ("loss", "accuracy")  # of a run's history
# Of runs side by side, distinct to colour-blind readers (Okabe and Ito 2008); then they repeat.
RUN_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8250df")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, as a whole or not at all."""
    with new_file(path) as part:
        figure.savefig(part, dpi=DPI)


def svg(draw: Callable[..., Figure], *args: Any) -> str:
    """Return the figure of `draw(*args)` as SVG to embed, in the colour of the page's text."""
    ink = "#010203"
    colored = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style: Any = dict.fromkeys(colored, ink)
    style |= {"legend.framealpha": 0, "svg.fonttype": "none", "svg.hashsalt": "fixed"}
    text = io.StringIO()
    with matplotlib.rc_context(style):
        draw(*args).savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :].replace(ink, "currentColor")


def loss_curve(history: Path) -> Figure:
    """Draw loss and accuracy of both splits per epoch, from a run's history.csv.

    Raises:
        RunError: the file is missing or damaged.
    """
    columns = _read_history(history)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), CURVES, strict=True):
        _draw_curve(axes, columns, metric)
    figure.axes[-1].legend()
    return figure


def curve(history: Path, metric: str) -> Figure:
    """Draw one of the `CURVES` of `loss_curve` alone."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    _draw_curve(axes, _read_history(history), metric)
    axes.legend()
    return figure


def overlay(runs: Sequence[tuple[str, str, Path]], metric: str) -> Figure:
    """Draw one of the `CURVES` of several runs, on validation: of (label, colour, history.csv).

    Raises:
        RunError: a file is missing or damaged.
    """
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for label, colour, history in runs:
        columns = _read_history(history)
        axes.plot(
            columns["epoch"], columns[f"val_{metric}"], color=colour, marker="o", ms=3, label=label
        )
    _label_curve(axes, f"{metric} on validation")
    axes.legend()
    return figure


def _draw_curve(axes: Axes, columns: dict[str, list[float]], metric: str) -> None:
    epochs = columns["epoch"]
    steps = np.flatnonzero(np.diff(columns["lr"]))
    if len(steps) > len(epochs) / 4:  # a schedule that changes it all the time, such as cosine
        steps = steps[:0]
    for key, label in ((metric, "training"), (f"val_{metric}", "validation")):
        axes.plot(epochs, columns[key], marker="o", ms=3, label=label)
    for i, step in enumerate(steps):
        label = "" if i else "learning rate step"
        axes.axvline(epochs[step] + 0.5, color="grey", lw=0.8, ls="--", label=label)
    _label_curve(axes, metric)


def _label_curve(axes: Axes, label: str) -> None:
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def _read_history(path: Path) -> dict[str, list[float]]:
    names = ("epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy")
    try:
        with open_file(path) as file:
            rows = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))
        if not rows:
            raise ValueError("it has no rows")
        return {key: [float(row[key]) for row in rows] for key in names}
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise RunError(f"{path} can't be read as a history ({error})") from error


def confusion_matrix(matrix: Any, class_names: Any) -> Figure:
    """Draw a confusion matrix: counts, shaded by their fraction of the true class (row).

    Of many classes the shades alone, and the names of some.
    """
    counts = np.asarray(matrix)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    many = len(class_names) > MANY_CLASSES
    size = min(2.5 + 0.62 * len(class_names), LARGEST)
    figure = Figure(figsize=(size, size * 0.9), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    ticks = range(0, len(class_names), math.ceil(len(class_names) / MOST_TICKS))
    names = [class_names[i] for i in ticks]
    style: Any = {"fontsize": 7 if many else 10, "parse_math": False}
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor", **style)
    axes.set_yticks(ticks, names, **style)
    axes.set(xlabel="predicted", ylabel="true")
    if not many:
        _write_counts(axes, counts, fractions)
    figure.colorbar(image, label="fraction of the true class", shrink=0.8)
    return figure


def _write_counts(axes: Axes, counts: np.ndarray, fractions: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if fractions[row, column] > 0.5 else "black"
        text = axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
        text.set_in_layout(False)  # measuring each would take seconds


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> Figure:
    """Draw accuracy and number of images over confidence, from (n,) and (n, classes)."""
    counts, confidence, accuracy = evaluation.reliability(labels, probabilities)
    filled = counts > 0
    figure = Figure(figsize=(4.2, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="grey", lw=0.8, ls="--", label="perfect calibration")
    upper.plot(confidence[filled], accuracy[filled], marker="o", ms=4, label="this network")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.03))
    upper.grid(alpha=0.3)
    upper.legend(loc="upper left")
    edges = np.linspace(0, 1, len(counts) + 1)
    lower.bar(edges[:-1], counts, width=1 / len(counts), align="edge", alpha=0.7)
    lower.set(xlabel="confidence", ylabel="images", yscale="log")
    return figure


COLORS = {
    "Conv2D": "#9ecae1",
    "Dense": "#a1d99b",
    "MaxPooling2D": "#fdae6b",
    "BatchNormalization": "#dadaeb",
}


def architecture(model: "keras.Model") -> Figure:
    """Draw the layers of a model as a column: name, kind, output shape, parameters.

    Layers of one block (`block1_conv1`, `block1_bn1`, ...) share a frame. What a layer doesn't
    tell is left out, such as the output shapes in subclassed models.
    """
    count = len(model.layers)
    figure = Figure(figsize=(7.5, 0.8 + 0.36 * count), layout="constrained")
    axes = figure.subplots()
    axes.set(
        xlim=(0, 10),
        ylim=(count + 0.2, -1),
        title=f"{model.name}: {_parameters(model) or 'no'} parameters",
    )
    axes.axis("off")
    heads = (
        (0.35, "layer", "left"),
        (3.1, "kind", "left"),
        (7.4, "output", "right"),
        (9.6, "parameters", "right"),
    )
    for x, text, align in heads:
        axes.text(x, -0.45, text, ha=align, va="center", fontsize=9, weight="bold")
    for row, layer in enumerate(model.layers):
        kind = type(layer).__name__
        axes.add_patch(
            FancyBboxPatch(
                (0.25, row + 0.08),
                9.5,
                0.74,
                boxstyle="round,pad=0,rounding_size=0.15",
                facecolor=COLORS.get(kind, "#f0f0f0"),
                edgecolor="none",
            )
        )
        texts = (layer.name, _describe(layer), _output_shape(layer), _parameters(layer))
        for (x, _, align), text in zip(heads, texts, strict=True):
            axes.text(x, row + 0.45, text, ha=align, va="center", fontsize=9)
    _frame_blocks(axes, [layer.name for layer in model.layers])
    return figure


def _output_shape(layer: "keras.Layer") -> str:
    """Return the shape of a layer's first output; empty if it wasn't called symbolically."""
    try:
        first = layer.output
    except (AttributeError, ValueError):
        return ""
    while isinstance(first, list | tuple):  # such as attention and its scores
        first = first[0]
    return " × ".join(str(size) for size in first.shape[1:])


def _parameters(layer: "keras.Layer") -> str:
    return f"{layer.count_params():,}" if layer.built and layer.count_params() else ""


def _describe(layer: "keras.Layer") -> str:
    kind = type(layer).__name__
    try:
        config = layer.get_config()
    except NotImplementedError:  # of a user's own layer
        config = {}
    if "kernel_size" in config:
        kind += " " + " × ".join(str(size) for size in config["kernel_size"])
    if "pool_size" in config:
        kind += " " + " × ".join(str(size) for size in config["pool_size"])
    if "rate" in config:
        kind += f" {config['rate']:g}"
    return kind


def _frame_blocks(axes: Any, names: list[str]) -> None:
    rows = itertools.groupby(enumerate(names), key=lambda row: row[1].split("_")[0])
    for _, group in rows:
        members = [row for row, _ in group]
        if len(members) > 1:
            axes.add_patch(
                FancyBboxPatch(
                    (0.12, members[0] + 0.0),
                    9.76,
                    len(members) - 0.1,
                    boxstyle="round,pad=0,rounding_size=0.2",
                    facecolor="none",
                    edgecolor="#636363",
                    linewidth=1,
                )
            )
