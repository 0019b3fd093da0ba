"""Print accuracy, FLOP and seconds of recipes, and draw the table of docs/PERFORMANCE.md.

    python train_cifar.py --recipe fast --seeds 0 1 2 --out runs/recipes
    python -m benchmarks.frontier runs/recipes
    python -m benchmarks.frontier --out docs/figures

The first prints rows for that table, in which the study and published records stand too. Every
finished run counts that has all settings of its recipe, but perhaps `--split final`.
"""

import argparse
import dataclasses
import itertools
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from tfmodels.recipes import RECIPES, configure
from tfmodels.report.plots import save
from tfmodels.report.seeds import mean_and_spread
from tfmodels.report.tables import markdown_table, scientific
from tfmodels.runs.contents import open_run
from tfmodels.runs.directory import is_complete

TABLE = Path("docs/PERFORMANCE.md")
HEADER = ["", "accuracy, %", "n", "training FLOP", "training seconds", "on"]


def read_runs(folders: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """Return accuracy, FLOP and seconds of each run, by recipe and split."""
    found: dict[str, list[dict[str, Any]]] = {}
    for folder in folders:
        for run in map(open_run, sorted(filter(is_complete, folder.glob("*/")))):
            settings: dict[str, Any] = dict(run.config["settings"])
            if not is_recipe(settings):
                continue
            values = {
                "accuracy": 100 * run.metrics()["test"]["mean_class_accuracy"],
                "flop": run.config["training_flop"],
                "seconds": run.training_seconds(),
                "cores": run.config["hardware"]["cores"],
            }
            final = " --split final" * (settings["split_scheme"] == "final")
            found.setdefault(settings["recipe"] + final, []).append(values)
    return found


def is_recipe(settings: dict[str, Any]) -> bool:
    """Return whether a run has all settings of its recipe; seed, split and folder are free."""
    if settings.get("recipe") not in RECIPES:  # a fusion, or a recipe that is no more
        return False
    free = {name: settings[name] for name in ("seed", "split_scheme", "data_dir")}
    expected = dataclasses.asdict(configure(settings["recipe"], **free))
    return expected | settings == expected  # runs of older versions may have fewer settings


def table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of recipes, by FLOP."""
    rows: list[tuple[float, list[str]]] = []
    for recipe, found in runs.items():
        accuracies, seconds = ([run[key] for run in found] for key in ("accuracy", "seconds"))
        flop = statistics.mean(run["flop"] for run in found)
        on = f"{found[0]['cores']} cores"
        numbers = [mean_and_spread(accuracies), str(len(found)), scientific(flop)]
        rows.append((flop, [f"`{recipe}`", *numbers, f"{statistics.median(seconds):.0f}", on]))
    return markdown_table(HEADER, [row for _, row in sorted(rows)])


def read_table(text: str) -> list[list[str]]:
    """Return the cells of the rows of the first such table in a text."""
    lines = (
        [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        for line in text.splitlines()
    )
    next(cells for cells in lines if cells == HEADER)
    next(lines)  # the rule below it
    return list(iter(lambda: next(lines), []))


def draw(rows: list[list[str]]) -> Figure:
    """Draw accuracy, with its spread, against FLOP and against seconds."""
    figure = Figure((10, 4.5), layout="constrained")
    labels = {3: "training FLOP", 4: "training seconds (records: one A100)"}
    for axes, column in zip(figure.subplots(1, 2, sharey=True), labels, strict=True):
        for marker, row in zip(itertools.cycle("osv^DP*X<>d"), rows, strict=False):
            mean, _, spread = row[1].partition(" ± ")
            options = {} if row[2] else {"color": "gray"}  # what isn't ours
            x = float(row[column] or "nan")
            axes.errorbar(
                x, float(mean), float(spread or 0), fmt=marker, label=row[0].strip("`"), **options
            )
        axes.set(xscale="log", xlabel=labels[column])
        axes.grid(alpha=0.3)
    first, _ = figure.axes
    first.set_ylabel("test accuracy, %")
    figure.legend(*first.get_legend_handles_labels(), loc="outside right")
    for axis in (axes.xaxis for axes in figure.axes):
        axis.set_minor_formatter(NullFormatter())
    return figure


def main() -> None:
    """Print the table of runs, or draw that of the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.folders:
        print(table(read_runs(args.folders)))
    if args.out:
        save(draw(read_table(TABLE.read_text())), args.out / "frontier.png")


if __name__ == "__main__":
    main()
