"""The study's experiments from settings to run directory, and its Table 1."""

import csv
import dataclasses
import datetime
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import keras

from tfmodels import plots
from tfmodels.data.loading import ImageData, load_data
from tfmodels.evaluation import FIGURES, evaluate
from tfmodels.models.vgg import vgg
from tfmodels.predictions import Predictions, load_predictions, save_predictions
from tfmodels.runs import is_complete, new_run, read_json, run_path, write_json
from tfmodels.settings import CifarSettings
from tfmodels.training import predict, train

# The study's Table 1: what differs from the settings asked for, and its four figures in %.
TABLE1: dict[str, tuple[dict[str, Any], tuple[float, float, float, float]]] = {
    "lr 0.001": ({"lr": 0.001}, (79.95, 79.86, 79.95, 79.78)),
    "lr 0.01": ({"lr": 0.01}, (39.91, 40.34, 58.22, 39.91)),
    "lr 0.01, no step decay": ({"lr": 0.01, "step_decay": False}, (27.71, 24.55, 22.04, 27.71)),
    "lr 0.00001, no step decay": (
        {"lr": 0.00001, "step_decay": False},
        (62.74, 62.37, 62.00, 62.74),
    ),
    "20 epochs (lr 0.001)": ({"lr": 0.001, "epochs": 20}, (77.77, 77.89, 78.01, 77.78)),
}
PACKAGES = ("keras", "tensorflow", "tensorflow-datasets", "numpy", "scikit-learn", "matplotlib")


def run_cifar(settings: CifarSettings, path: Path, overwrite: bool = False) -> None:
    """Train the study's CNN, judge it, and leave a complete run directory at the path.

    Raises:
        UsageError: the settings don't fit the data, or the path is taken.
        RunError: the data can't be had, or training failed; what there is so far is kept.
    """
    if settings.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)
    with new_run(path, overwrite) as work:
        data = load_data(settings.data, settings.data_dir, settings.seed, settings.limit)
        model = vgg(data.image_shape, len(data.class_names))
        config = _describe(settings, data, model)
        write_json(work / "config.json", config)
        train(model, data, settings, work)
        model.save(work / "model.keras")
        splits = {
            name: Predictions(split.ids, split.labels, predict(model, split))
            for name, split in (("val", data.val), ("test", data.test))
        }
        save_predictions(work / "predictions.npz", splits, data.class_names)
        judge(work)
        plots.architecture(model, work / "figures" / "architecture.png")
        write_json(work / "config.json", config | {"ended": _now()})


def judge(run: Path) -> None:
    """Write metrics.json and the figures of results, from what the run has saved alone."""
    splits, class_names = load_predictions(run / "predictions.npz")
    metrics = {
        name: evaluate(split.labels, split.probabilities, class_names)
        for name, split in splits.items()
    }
    write_json(run / "metrics.json", metrics)
    figures = run / "figures"
    figures.mkdir(exist_ok=True)
    plots.loss_curve(run / "history.csv", figures / "loss_curve.png")
    plots.confusion_matrix(
        metrics["test"]["confusion_matrix"], class_names, figures / "confusion_matrix.png"
    )


def run_table1(settings: CifarSettings, out: Path, overwrite: bool = False) -> str:
    """Run Table 1's settings, skipping complete runs, and write table1.csv and table1.md.

    Runs that stopped early are started over. Other settings (seed, data, ...) hold for all.

    Returns:
        The table in Markdown: our figures and the study's, in %.
    """
    rows = []
    for name, (changes, study) in TABLE1.items():
        row_settings = dataclasses.replace(settings, **changes)
        path = run_path(out, row_settings.run_name())
        if is_complete(path) and not overwrite:
            print(f"{name}: complete already in {path}", file=sys.stderr)
        else:
            print(f"{name}: {path}", file=sys.stderr)
            run_cifar(row_settings, path, overwrite=True)
        test = read_json(path / "metrics.json")["test"]
        rows.append([name, *(f"{100 * test[key]:.2f}" for key in FIGURES), *study])
    header = ["setting", *FIGURES.values(), *(f"study's {name}" for name in FIGURES.values())]
    with (out / "table1.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    table = markdown_table(header, rows)
    (out / "table1.md").write_text(table + "\n", encoding="utf-8")
    return table


def figures_row(run: Path) -> str:
    """The test figures of a run as a table of one row, in %."""
    test = read_json(run / "metrics.json")["test"]
    return markdown_table(
        ["run", *FIGURES.values()], [[run.name, *(f"{100 * test[key]:.2f}" for key in FIGURES)]]
    )


def markdown_table(header: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table with aligned columns."""
    cells = [header, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _describe(settings: CifarSettings, data: ImageData, model: keras.Model) -> dict[str, Any]:
    return {
        "settings": dataclasses.asdict(settings),
        "seed": settings.seed,
        "command": sys.argv,
        "dataset": {
            "name": data.name,
            "version": data.version,
            "class_names": data.class_names,
            "splits": {name: len(getattr(data, name)) for name in ("train", "val", "test")},
        },
        "model": {"name": model.name, "parameters": model.count_params()},
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
        "backend": keras.backend.backend(),
        "hardware": {
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "devices": keras.distribution.list_devices(),
        },
        "started": _now(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
