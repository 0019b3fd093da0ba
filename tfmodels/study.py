"""The study's tables, with its metrics beside ours."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfmodels.config import SOURCES, Config
from tfmodels.errors import UsageError
from tfmodels.evaluation import METRICS, evaluate
from tfmodels.experiment import run
from tfmodels.fusion.combine import fuse
from tfmodels.fusion.members import load_members
from tfmodels.models.catalog import build
from tfmodels.models.weights.loading import load_weights
from tfmodels.report.tables import csv_table, markdown_table, percent
from tfmodels.runs.contents import open_run
from tfmodels.runs.continuation import check_settings
from tfmodels.runs.directory import has_state, is_complete, run_path
from tfmodels.safe_files import write_text

Row = tuple[dict[str, Any], tuple[float, float, float, float]]

# What differs from the settings asked for, and the study's four metrics in %.
TABLE1: dict[str, Row] = {
    "lr 0.001": ({"lr": 0.001}, (79.95, 79.86, 79.95, 79.78)),
    "lr 0.01": ({"lr": 0.01}, (39.91, 40.34, 58.22, 39.91)),
    "lr 0.01, no step decay": (
        {"lr": 0.01, "schedule": "constant"},
        (27.71, 24.55, 22.04, 27.71),
    ),
    "lr 0.00001, no step decay": (
        {"lr": 0.00001, "schedule": "constant"},
        (62.74, 62.37, 62.00, 62.74),
    ),
    "20 epochs (lr 0.001)": ({"lr": 0.001, "epochs": 20}, (77.77, 77.89, 78.01, 77.78)),
}
_MOBILENET = {"model": "mobilenetv2", "image_size": None}
_ALEXNET = {"model": "alexnet", "image_size": None}
TABLE3: dict[str, Row] = {
    "MobileNet": (_MOBILENET | {"weights": "none"}, (92.72, 92.44, 92.85, 92.44)),
    "AlexNet": (_ALEXNET | {"weights": "none"}, (92.53, 92.36, 92.35, 92.36)),
    "MobileNet, pretrained": (_MOBILENET | {"weights": "imagenet"}, (97.44, 97.40, 97.49, 97.32)),
    "AlexNet, pretrained": (_ALEXNET | {"weights": "imagenet"}, (97.01, 96.94, 97.05, 96.83)),
}
FUSED = ("MobileNet, pretrained", "AlexNet, pretrained")
FUSION = (97.75, 97.71, 97.78, 97.63)


def run_table1(config: Config, out: Path, overwrite: bool = False) -> str:
    """Run Table 1's settings, skipping complete runs, and write table1.csv and table1.md.

    Runs that stopped early go on. Other settings (seed, data, ...) hold for all.

    Returns:
        The table in Markdown: our mean class accuracy beside the study's, in %; the files hold
        all metrics.

    Raises:
        UsageError: a run of the same name has other settings, or isn't a run.
    """
    runs = _run_all(TABLE1, config, out, overwrite)
    rows = [
        _row(name, _judge(runs[name]), study, runs[name]) for name, (_, study) in TABLE1.items()
    ]
    return _write_table("setting", rows, out / "table1")


def run_table3(config: Config, out: Path, overwrite: bool = False) -> str:
    """Run Table 3's networks as `run_table1` does, and fuse the pretrained two.

    The last row adds the softmax vectors of both; it writes table3.csv and table3.md.
    """
    runs = _run_all(TABLE3, config, out, overwrite)
    rows = [
        _row(name, _judge(runs[name]), study, runs[name]) for name, (_, study) in TABLE3.items()
    ]
    members = load_members([runs[name] for name in FUSED])
    fused, _ = fuse(members, "sum")
    _, labels, _ = members.splits["test"]
    metrics = evaluate(labels, fused["test"], members.class_names)
    rows.append(_row("late fusion of the pretrained two", metrics, FUSION))
    return _write_table("network", rows, out / "table3")


def _run_all(
    table: Mapping[str, Row], config: Config, out: Path, overwrite: bool
) -> dict[str, Path]:
    """Run what isn't complete, after a look at all; return the paths of the runs by row."""
    planned = {name: dataclasses.replace(config, **changes) for name, (changes, _) in table.items()}
    paths = {name: run_path(out, row.run_name()) for name, row in planned.items()}
    todo = {
        name
        for name in planned
        if overwrite or has_state(paths[name]) or not is_complete(paths[name])
    }
    for name, row in planned.items():
        if name in todo:
            check_settings(paths[name], dataclasses.asdict(row), overwrite)
        else:
            _check_same(row, paths[name])
    for name in todo:
        _check_weights(planned[name])
    for name, row in planned.items():
        if name in todo:
            print(f"\n{name}", file=sys.stderr)
            run(row, out=out, name=paths[name].name, overwrite=overwrite)
        else:
            print(f"{name}: complete already in {paths[name]}", file=sys.stderr)
    return paths


def _check_weights(config: Config) -> None:
    """Find out before the first training whether the weights can be loaded and fit."""
    if config.weights != "none":
        size = config.image_size
        model = build(config.model, (size, size, 3), classes=10, image_size=size)
        load_weights(model, config.model, config.weights)


def _check_same(config: Config, path: Path) -> None:
    found, asked = open_run(path).config["settings"], dataclasses.asdict(config)
    different = [
        key for key in asked if key not in SOURCES and found.get(key, asked[key]) != asked[key]
    ]
    if different:
        listed = ", ".join(f"`{key}={found[key]}`, not {asked[key]}" for key in different)
        raise UsageError(f"{path} was made with {listed}: name another folder with `out`")


def _judge(path: Path) -> dict[str, Any]:
    """Return the test metrics of a run, from its predictions."""
    run = open_run(path)
    test, class_names = run.predictions()["test"], run.config["dataset"]["class_names"]
    return evaluate(test.labels, test.probabilities, class_names)


def _row(
    name: str, metrics: dict[str, Any], study: tuple[float, ...], path: Path | None = None
) -> list[str]:
    ours = [percent(metrics[key]) for key in METRICS]
    return [name, *ours, *(f"{metric:.2f}" for metric in study), path.name if path else ""]


def _write_table(first: str, rows: list[list[str]], path: Path) -> str:
    header = [first, *METRICS.values(), *(f"study's {name}" for name in METRICS.values()), "run"]
    write_text(path.with_suffix(".md"), markdown_table(header, rows) + "\n")
    write_text(path.with_suffix(".csv"), csv_table(header, rows))
    narrow = [[row[0], row[1], row[1 + len(METRICS)]] for row in rows]
    table = markdown_table([first, "mean class accuracy", "the study's"], narrow)
    return f"{table}\nall metrics: {path}.md, {path}.csv"
