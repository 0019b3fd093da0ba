import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from tfmodels.errors import RunError
from tfmodels.models.vgg import vgg
from tfmodels.report import plots


def ink(path: Path) -> float:
    """The fraction of an image's pixels that aren't white."""
    return float((imread(path)[..., :3] < 0.99).any(axis=-1).mean())


def test_loss_curve_of_a_history_file(tmp_path: Path) -> None:
    rows = ["epoch,lr,loss,accuracy,val_loss,val_accuracy,seconds", "1,0.1,2,.3,2.1,.2,5"]
    (tmp_path / "one.csv").write_text("\n".join(rows))
    plots.save(plots.loss_curve(tmp_path / "one.csv"), tmp_path / "one.png")
    rows += [f"{epoch},0.01,{2 / epoch},.5,{2.2 / epoch},.4,5" for epoch in range(2, 9)]
    (tmp_path / "eight.csv").write_text("\n".join(rows))
    plots.save(plots.loss_curve(tmp_path / "eight.csv"), tmp_path / "eight.png")
    assert 0.005 < ink(tmp_path / "one.png") < ink(tmp_path / "eight.png") < 0.5


@pytest.mark.parametrize(("each", "lines"), [(4, 1), (3, 2), (1, 0)])
def test_steps_of_the_learning_rate_are_marked_unless_it_changes_all_the_time(
    tmp_path: Path, each: int, lines: int
) -> None:
    rows = ["epoch,lr,loss,accuracy,val_loss,val_accuracy"]
    rows += [f"{epoch},{0.5 ** (epoch // each)},2,.3,2.1,.2" for epoch in range(8)]
    (tmp_path / "history.csv").write_text("\n".join(rows))
    axes = plots.loss_curve(tmp_path / "history.csv").axes
    assert [len(ax.lines) - 2 for ax in axes] == [lines, lines]


def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    history = "epoch,lr,loss,accuracy,val_loss,val_accuracy,seconds\n1,0.1,2,.3"
    (tmp_path / "history.csv").write_text(history)
    with pytest.raises(RunError, match="history.csv can't be read as a history"):
        plots.loss_curve(tmp_path / "history.csv")


def test_confusion_matrix_is_shaded_by_fractions_of_the_row(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    perfect = np.eye(3, dtype=int)
    for name, counts in (("empty", 0 * perfect), ("perfect", perfect), ("more", 10 * perfect)):
        plots.save(plots.confusion_matrix(counts, names), tmp_path / f"{name}.png")
    dark = {
        name: (imread(tmp_path / f"{name}.png")[..., 0] < 0.2).mean()
        for name in ("empty", "perfect", "more")
    }
    assert dark["perfect"] > dark["empty"] + 0.1
    assert abs(dark["more"] - dark["perfect"]) < 0.01


@pytest.mark.parametrize(
    ("classes", "numbers", "names"), [(30, 900, 30), (31, 0, 31), (300, 0, 60)]
)
def test_a_confusion_matrix_of_many_classes_stays_small(
    tmp_path: Path, classes: int, numbers: int, names: int
) -> None:
    begin = time.process_time()
    counts = np.eye(classes, dtype=int)
    figure = plots.confusion_matrix(counts, [f"a class {i}" for i in range(classes)])
    plots.save(figure, tmp_path / "matrix.png")
    assert max(figure.get_size_inches()) <= 14
    assert len(figure.axes[0].texts) == numbers
    assert len(figure.axes[0].get_yticks()) == names
    assert time.process_time() - begin < 10  # about one on an idle machine


def test_class_names_are_no_formulas(tmp_path: Path) -> None:
    figure = plots.confusion_matrix(np.eye(2, dtype=int), ("$x^{$", "b"))
    plots.save(figure, tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def texts(model: keras.Model) -> list[str]:
    return [text.get_text() for text in plots.architecture(model).axes[0].texts]


def test_of_several_outputs_of_a_layer_the_first_is_drawn() -> None:
    inputs = keras.Input((6, 8))
    attention = keras.layers.MultiHeadAttention(2, 4)
    outputs, _ = attention(inputs, inputs, return_attention_scores=True)
    assert texts(keras.Model(inputs, outputs)).count("6 × 8") == 2


class Scale(keras.layers.Layer):
    """A layer that needs an argument and can't describe itself."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        return self.factor * inputs


class Subclassed(keras.Model):
    """A model whose layers are known, but not what lies between them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = Scale(2)
        self.dense = keras.layers.Dense(3, name="dense")
        self.unused = keras.layers.Dense(3, name="unused")

    def call(self, inputs: Any) -> Any:
        return self.dense(self.scale(inputs))


def test_of_a_subclassed_model_the_layers_are_drawn() -> None:
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    drawn = texts(model)
    assert {"Scale", "dense", "unused", "15"} <= set(drawn)


def test_architecture_grows_with_the_layers(tmp_path: Path) -> None:
    small = vgg(filters=(4,), block_dropout=(0.1,), dense_units=8)
    plots.save(plots.architecture(small), tmp_path / "small.png")
    plots.save(plots.architecture(vgg()), tmp_path / "vgg.png")
    heights = {name: imread(tmp_path / f"{name}.png").shape[0] for name in ("small", "vgg")}
    assert heights["vgg"] > 1.3 * heights["small"]  # 26 layers, not 18
    assert ink(tmp_path / "vgg.png") > 0.3


def test_reliability_draws_accuracy_over_confidence(tf_test: Any) -> None:
    probabilities = np.repeat([[0.7, 0.3], [0.95, 0.05]], [10, 20], axis=0)
    labels = np.repeat([0, 1, 0], [7, 3, 20])
    upper, lower = plots.reliability(labels, probabilities).axes
    tf_test.assertAllClose(upper.lines[1].get_xydata(), [[0.7, 0.7], [0.95, 1.0]])
    heights = [bar.get_height() for bar in lower.patches if isinstance(bar, Rectangle)]
    assert sorted(heights)[-2:] == [10, 20]


def test_svg_to_embed_has_the_colour_of_the_page_and_is_repeatable() -> None:
    labels, probabilities = np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]])
    drawn = plots.svg(plots.reliability, labels, probabilities)
    assert drawn.startswith("<svg")
    assert "fill: currentColor" in drawn
    assert "#000000" not in drawn
    assert drawn == plots.svg(plots.reliability, labels, probabilities)
