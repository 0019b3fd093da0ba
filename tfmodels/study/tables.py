"""The study's tables, with its metrics beside ours."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfmodels.evaluation import METRICS
from tfmodels.fusion.members import load_members
from tfmodels.fusion.splits import compare_splits, fuse_once
from tfmodels.recipes import configure
from tfmodels.report.seeds import difference, mean_and_spread
from tfmodels.report.tables import csv_table, markdown_table, percent, select_columns
from tfmodels.runs.contents import open_run
from tfmodels.safe_files import write_text
from tfmodels.series import run_all

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
TABLE3: dict[str, Row] = {
    "MobileNet": ({"model": "mobilenetv2", "weights": "none"}, (92.72, 92.44, 92.85, 92.44)),
    "AlexNet": ({"model": "alexnet", "weights": "none"}, (92.53, 92.36, 92.35, 92.36)),
    "MobileNet, pretrained": (
        {"model": "mobilenetv2", "weights": "imagenet"},
        (97.44, 97.40, 97.49, 97.32),
    ),
    "AlexNet, pretrained": (
        {"model": "alexnet", "weights": "imagenet"},
        (97.01, 96.94, 97.05, 96.83),
    ),
}
FUSED = ("MobileNet, pretrained", "AlexNet, pretrained")
FUSION = (97.75, 97.71, 97.78, 97.63)


def run_table1(
    settings: Mapping[str, Any], out: Path, overwrite: bool = False, seeds: Sequence[int] = (0,)
) -> str:
    """Run Table 1's settings, skipping complete runs, and write table1.csv and table1.md.

    Runs that stopped early go on.

    Args:
        settings: of `recipes.configure`, which hold for all rows (data, precision, ...).
        out: folder of the runs.
        overwrite: whether to start over, and replace complete runs.
        seeds: of the runs of each row.

    Returns:
        The table for the terminal: our mean class accuracy beside the study's, in %. The files
        hold all metrics: table1.md their means, table1.csv those of each run.

    Raises:
        UsageError: a run of the same name has other settings, or isn't a run.
    """
    cells = _run_rows(TABLE1, settings, out, overwrite, seeds)
    return _write_table("setting", cells, out / "table1")


def run_table3(
    settings: Mapping[str, Any],
    out: Path,
    overwrite: bool = False,
    seeds: Sequence[int] = (0,),
    files: Mapping[str, str] | None = None,
) -> str:
    """Run Table 3's networks as `run_table1` does, and fuse the pretrained two of each seed.

    The recipe is `tuned` if the settings name no other. The last row adds the softmax vectors of
    both, in runs of their own; below the table that is compared with its members. It writes
    table3.csv and table3.md. `files` hold ImageNet weights, by network, in place of a download.
    """
    settings = {"recipe": "tuned"} | dict(settings)
    table = {name: (_with_file(row, files or {}), study) for name, (row, study) in TABLE3.items()}
    cells = _run_rows(table, settings, out, overwrite, seeds)
    loaded, fused = [], []
    for seed in seeds:
        pair = [out / cell.run for cell in cells if cell.row in FUSED and cell.seed == seed]
        loaded.append(load_members(pair))
        fused.append(open_run(fuse_once(loaded[-1], "sum", False, out, overwrite)))
        metrics = fused[-1].metrics()["test"]
        cells.append(Cell("late fusion of the two", seed, metrics, FUSION, fused[-1].name, 0.0))
    table3 = _write_table("network", cells, out / "table3")
    return f"{table3}\n\n{compare_splits(loaded, fused)}"


def _with_file(changes: dict[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a row, whose ImageNet weights may be in a file."""
    if changes["weights"] != "imagenet" or changes["model"] not in files:
        return changes
    return changes | {"weights": files[changes["model"]]}


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a row of a table has for one seed.

    Attributes:
        row: its name.
        seed: of the run.
        metrics: of the test images.
        study: the study's four.
        run: its name.
        minutes: that its training took, 0 of a fusion.
    """

    row: str
    seed: int
    metrics: dict[str, Any]
    study: tuple[float, ...]
    run: str
    minutes: float


def _run_rows(
    table: Mapping[str, Row],
    settings: Mapping[str, Any],
    out: Path,
    overwrite: bool,
    seeds: Sequence[int],
) -> list[Cell]:
    """Run all rows with the first seed, then with the next; return what they reach."""
    keys = [(row, seed) for seed in seeds for row in table]
    configs = {
        f"{row}, seed {seed}": configure(**{**settings, **table[row][0], "seed": seed})
        for row, seed in keys
    }
    runs = map(open_run, run_all(configs, out, overwrite).values())
    return [
        Cell(row, seed, run.metrics()["test"], table[row][1], run.name, run.training_seconds() / 60)
        for (row, seed), run in zip(keys, runs, strict=True)
    ]


def _write_table(first: str, cells: Sequence[Cell], path: Path) -> str:
    theirs = [f"study's {name}" for name in METRICS.values()]
    each = [
        [
            *(cell.row, cell.seed, *(percent(cell.metrics[key]) for key in METRICS)),
            *(f"{metric:.2f}" for metric in cell.study),
            *(f"{cell.minutes:.1f}", cell.run),
        ]
        for cell in cells
    ]
    header = [first, "seed", *METRICS.values(), *theirs, "minutes", "run"]
    write_text(path.with_suffix(".csv"), csv_table(header, each))

    rows = [
        _mean_row([cell for cell in cells if cell.row == row])
        for row in dict.fromkeys(cell.row for cell in cells)
    ]
    header = [first, "n", *METRICS.values(), *theirs, "difference", "minutes"]
    write_text(path.with_suffix(".md"), markdown_table(header, rows) + "\n")
    columns = {
        first: "",
        "mean class accuracy": "mean class\naccuracy",
        "study's mean class accuracy": "study",
        "difference": "difference",
        "minutes": "min",
    }
    table = select_columns(columns, header, rows)
    return f"{table}\nall metrics: {path}.md, {path}.csv"


def _mean_row(cells: Sequence[Cell]) -> list[str]:
    """Return the means over the seeds of a row."""
    study = cells[0].study
    ours = [[100 * cell.metrics[key] for cell in cells] for key in METRICS]
    return [
        *(cells[0].row, str(len(cells)), *map(mean_and_spread, ours)),
        *(f"{metric:.2f}" for metric in study),
        difference(ours[0], study[0]),
        f"{sum(cell.minutes for cell in cells) / len(cells):.1f}",
    ]
