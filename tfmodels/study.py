"""The study's tables, with its figures beside ours."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tfmodels.errors import UsageError
from tfmodels.evaluation import FIGURES, evaluate
from tfmodels.experiment import NETWORKS, run_cifar, run_eurosat
from tfmodels.fusion.rules import fuse_sum
from tfmodels.fusion.members import load_members
from tfmodels.runs.directory import check_free, is_complete, read_json, run_path, write_text
from tfmodels.config import SOURCES, CifarSettings, EurosatSettings, Settings, flag
from tfmodels.report.tables import csv_table, markdown_table, percent
from tfmodels.models.weights.loading import load_weights

AnySettings = TypeVar("AnySettings", bound=Settings)
Figures = tuple[float, float, float, float]

# What differs from the settings asked for, and the study's four figures in %.
TABLE1: dict[str, tuple[dict[str, Any], Figures]] = {
    "lr 0.001": ({"lr": 0.001}, (79.95, 79.86, 79.95, 79.78)),
    "lr 0.01": ({"lr": 0.01}, (39.91, 40.34, 58.22, 39.91)),
    "lr 0.01, no step decay": ({"lr": 0.01, "step_decay": False}, (27.71, 24.55, 22.04, 27.71)),
    "lr 0.00001, no step decay": (
        {"lr": 0.00001, "step_decay": False},
        (62.74, 62.37, 62.00, 62.74),
    ),
    "20 epochs (lr 0.001)": ({"lr": 0.001, "epochs": 20}, (77.77, 77.89, 78.01, 77.78)),
}
_MOBILENET = {"model": "mobilenetv2", "image_size": None, "train": None}
_ALEXNET = {"model": "alexnet", "image_size": None, "train": None}
TABLE3: dict[str, tuple[dict[str, Any], Figures]] = {
    "MobileNet": (_MOBILENET | {"weights": "none"}, (92.72, 92.44, 92.85, 92.44)),
    "AlexNet": (_ALEXNET | {"weights": "none"}, (92.53, 92.36, 92.35, 92.36)),
    "MobileNet, pretrained": (_MOBILENET | {"weights": "imagenet"}, (97.44, 97.40, 97.49, 97.32)),
    "AlexNet, pretrained": (_ALEXNET | {"weights": "imagenet"}, (97.01, 96.94, 97.05, 96.83)),
}
FUSED = ("MobileNet, pretrained", "AlexNet, pretrained")
FUSION: Figures = (97.75, 97.71, 97.78, 97.63)


def run_table1(settings: CifarSettings, out: Path, overwrite: bool = False) -> str:
    """Run Table 1's settings, skipping complete runs, and write table1.csv and table1.md.

    Runs that stopped early are started over. Other settings (seed, data, ...) hold for all.

    Returns:
        The table in Markdown: our figures and the study's, in %.

    Raises:
        UsageError: a run of the same name has other settings, or is none.
    """
    runs = _run_all(TABLE1, settings, run_cifar, out, overwrite)
    rows = [_row(name, _test(runs[name]), study, runs[name]) for name, (_, study) in TABLE1.items()]
    return _write_table("setting", rows, out / "table1")


def run_table3(settings: EurosatSettings, out: Path, overwrite: bool = False) -> str:
    """Run Table 3's settings as `run_table1` does, and fuse the pretrained networks.

    The last row adds the softmax vectors of both; it writes table3.csv and table3.md.
    """

    def check_weights(row: EurosatSettings) -> None:
        """Find out before the first training whether the weights can be had and fit."""
        if row.weights != "none":
            load_weights(NETWORKS[row.model](image_size=row.image_size), row.weights)

    runs = _run_all(TABLE3, settings, run_eurosat, out, overwrite, check_weights)
    rows = [_row(name, _test(runs[name]), study, runs[name]) for name, (_, study) in TABLE3.items()]
    members = load_members([runs[name] for name in FUSED])
    _, labels, probabilities = members.splits["test"]
    figures = evaluate(labels, fuse_sum(probabilities), members.class_names)
    rows.append(_row("late fusion of the pretrained two", figures, FUSION))
    return _write_table("network", rows, out / "table3")


def _run_all(
    table: Mapping[str, tuple[dict[str, Any], Figures]],
    settings: AnySettings,
    run: Callable[[AnySettings, Path, bool], str],
    out: Path,
    overwrite: bool,
    check: Callable[[AnySettings], None] = lambda row: None,
) -> dict[str, Path]:
    """Run what isn't complete, after a look at all; the paths of the runs by name.

    What `check` finds of a row that is to be run is found before hours of training.
    """
    planned = {
        name: dataclasses.replace(settings, **changes) for name, (changes, _) in table.items()
    }
    paths = {name: run_path(out, row.run_name()) for name, row in planned.items()}
    for name, row in planned.items():
        check_free(paths[name], overwrite=True)
        if is_complete(paths[name]) and not overwrite:
            _check_same(row, paths[name])
    todo = {name for name in planned if overwrite or not is_complete(paths[name])}
    for name in todo:
        check(planned[name])
    for name, row in planned.items():
        if name in todo:
            print(f"{name}: {paths[name]}", file=sys.stderr)
            run(row, paths[name], True)
        else:
            print(f"{name}: complete already in {paths[name]}", file=sys.stderr)
    return paths


def _check_same(settings: Settings, path: Path) -> None:
    found, asked = read_json(path / "config.json")["settings"], dataclasses.asdict(settings)
    different = [
        key for key in asked if key not in SOURCES and found.get(key, asked[key]) != asked[key]
    ]
    if different:
        listed = ", ".join(f"{flag(key)} {found.get(key)}, not {asked[key]}" for key in different)
        raise UsageError(f"{path} was made with {listed}: name another folder with --out")


def _test(run: Path) -> dict[str, Any]:
    return read_json(run / "metrics.json")["test"]


def _row(name: str, test: dict[str, Any], study: Figures, run: Path | None = None) -> list[str]:
    ours = [percent(test[key]) for key in FIGURES]
    return [name, *ours, *(f"{figure:.2f}" for figure in study), run.name if run else ""]


def _write_table(first: str, rows: list[list[str]], path: Path) -> str:
    header = [first, *FIGURES.values(), *(f"study's {name}" for name in FIGURES.values()), "run"]
    table = markdown_table(header, rows)
    write_text(path.with_suffix(".md"), table + "\n")
    write_text(path.with_suffix(".csv"), csv_table(header, rows))
    return table
