"""Print and draw accuracy against FLOP and seconds: recipes, the study, and published records.

    python train_cifar.py --recipe fast --seeds 0 1 2 --out runs/recipes
    python -m benchmarks.frontier runs/recipes --out docs/figures

Every finished run counts that has all settings of its recipe, but perhaps `--split final`.
"""

import argparse
import dataclasses
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

# What isn't ours: name, test accuracy in percent, training FLOP, seconds, on what. See
# https://github.com/KellerJordan/cifar10-airbench and arXiv:2404.00498.
OTHERS: list[tuple[str, float, float, float | None, str]] = [
    ("the study", 79.95, 7.6e13, None, ""),
    ("hiverge cifar10-speedrun", 94.01, 2.6e14, 2.0, "one A100"),
    ("airbench94_muon", 94.01, 2.9e14, 2.6, "one A100"),
    ("airbench94", 94.01, 3.6e14, 3.8, "one A100"),
    ("airbench95", 95.01, 1.4e15, 10.4, "one A100"),
    ("airbench96_faster", 96.00, 3.1e15, 27.0, "one A100"),
]


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
    """Return the table of recipes and of what isn't ours, by FLOP."""
    rows: list[tuple[float, list[str]]] = []
    for recipe, found in runs.items():
        accuracies, seconds = ([run[key] for run in found] for key in ("accuracy", "seconds"))
        flop = statistics.mean(run["flop"] for run in found)
        on = f"{found[0]['cores']} cores"
        numbers = [mean_and_spread(accuracies), str(len(found)), scientific(flop)]
        rows.append((flop, [f"`{recipe}`", *numbers, f"{statistics.median(seconds):.0f}", on]))
    for name, accuracy, flop, time, on in OTHERS:
        took = "" if time is None else f"{time}"
        rows.append((flop, [name, f"{accuracy:.2f}", "", scientific(flop), took, on]))
    header = ["", "accuracy, %", "n", "training FLOP", "training seconds", "on"]
    return markdown_table(header, [row for _, row in sorted(rows)])


def draw(runs: dict[str, list[dict[str, Any]]]) -> Figure:
    """Draw accuracy against FLOP and against seconds."""
    figure = Figure((10, 4.5), layout="constrained")
    labels = {"flop": "training FLOP", "seconds": "training seconds (records: one A100)"}
    for axes, key in zip(figure.subplots(1, 2, sharey=True), labels, strict=True):
        for recipe, found in runs.items():
            points = [run[key] for run in found], [run["accuracy"] for run in found]
            axes.plot(*points, ".", label=recipe)
        for marker, (name, accuracy, flop, time, _) in zip("*sPXD^", OTHERS, strict=True):
            x = [flop] if key == "flop" else [time] if time else []
            axes.plot(x, [accuracy] * len(x), marker, color="gray", label=name)
        axes.set(xscale="log", xlabel=labels[key])
        axes.grid(alpha=0.3)
    first, _ = figure.axes
    first.set_ylabel("test accuracy, %")
    figure.legend(*first.get_legend_handles_labels(), loc="outside right")
    for axis in (axes.xaxis for axes in figure.axes):
        axis.set_minor_formatter(NullFormatter())
    return figure


def main() -> None:
    """Read the runs, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    runs = read_runs(args.folders)
    print(table(runs))
    if args.out:
        save(draw(runs), args.out / "frontier.png")


if __name__ == "__main__":
    main()
