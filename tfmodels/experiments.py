"""The study's experiments, from settings to run directory, and its Table 1."""

import dataclasses
import datetime
import sys
from pathlib import Path
from typing import Any

import keras

from tfmodels import environment, plots
from tfmodels.data.loading import ImageData, load_data
from tfmodels.errors import UsageError
from tfmodels.evaluation import FIGURES, evaluate
from tfmodels.models.vgg import vgg
from tfmodels.predictions import Predictions, load_predictions, save_predictions
from tfmodels.runs import (
    check_free,
    is_complete,
    new_run,
    read_json,
    run_path,
    write_json,
    write_text,
)
from tfmodels.settings import CifarSettings, flag
from tfmodels.tables import csv_table, markdown_table, percent, summary
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


def run_cifar(settings: CifarSettings, path: Path, overwrite: bool = False) -> str:
    """Train the study's CNN, judge it, and leave a complete run directory at the path.

    The model and the predictions are those of the last epoch, as in the study.

    Returns:
        The test results in words and tables.

    Raises:
        UsageError: the settings don't fit the data, or the path is taken.
        RunError: the data can't be had, or training failed; what there is so far is kept.
    """
    started = _now()
    check_free(path, overwrite)
    _make_repeatable(settings)
    data = load_data(settings.data, settings.data_dir, settings.seed, settings.limit)
    model = vgg(data.image_shape, len(data.class_names))
    config = _describe(settings, data, model) | {"started": started}
    with new_run(path, overwrite) as work:
        write_json(work / "config.json", config)
        train(model, data, settings, work)
        splits = {
            name: Predictions(split.ids, split.labels, predict(model, split))
            for name, split in (("val", data.val), ("test", data.test))
        }
        save_predictions(work / "predictions.npz", splits, data.class_names)
        judge(work)
        plots.architecture(model, work / "figures" / "architecture.png")
        write_json(work / "config.json", config | {"ended": _now()})
    return summary(path)


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

    Raises:
        UsageError: a run of the same name has other settings, or is none.
    """
    planned = [dataclasses.replace(settings, **changes) for changes, _ in TABLE1.values()]
    paths = [run_path(out, row.run_name()) for row in planned]
    for row, path in zip(planned, paths, strict=True):
        check_free(path, overwrite=True)
        if is_complete(path) and not overwrite:
            _check_same(row, path)
    header = ["setting", *FIGURES.values(), *(f"study's {name}" for name in FIGURES.values())]
    rows = []
    for row, path, (name, (_, study)) in zip(planned, paths, TABLE1.items(), strict=True):
        if is_complete(path) and not overwrite:
            print(f"{name}: complete already in {path}", file=sys.stderr)
        else:
            print(f"{name}: {path}", file=sys.stderr)
            run_cifar(row, path, overwrite=True)
        test = read_json(path / "metrics.json")["test"]
        rows.append(
            [
                name,
                *(percent(test[key]) for key in FIGURES),
                *(f"{x:.2f}" for x in study),
                path.name,
            ]
        )
    table = markdown_table([*header, "run"], rows)
    write_text(out / "table1.md", table + "\n")
    write_text(out / "table1.csv", csv_table([*header, "run"], rows))
    return table


def _check_same(settings: CifarSettings, path: Path) -> None:
    found, asked = read_json(path / "config.json")["settings"], dataclasses.asdict(settings)
    different = [key for key in asked if key != "data_dir" and found.get(key) != asked[key]]
    if different:
        listed = ", ".join(f"{flag(key)} {found.get(key)}, not {asked[key]}" for key in different)
        raise UsageError(f"{path} was made with {listed}: name another folder with --out")


def _make_repeatable(settings: CifarSettings) -> None:
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


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
        "backend": keras.backend.backend(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
