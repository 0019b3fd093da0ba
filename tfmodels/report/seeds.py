"""Runs that differ in nothing but their seed: mean, spread and interval of their metrics."""

import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from scipy import stats

from tfmodels.config import SOURCES
from tfmodels.evaluation import METRICS
from tfmodels.report.page import command_line
from tfmodels.report.tables import data_title, markdown_table, text_table
from tfmodels.runs.contents import Run, find_runs, open_run
from tfmodels.runs.directory import without_seed

_FIRST, *_OTHERS = METRICS.values()


def mean_and_spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation over seeds, such as "82.50 ± 0.23"."""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of two or more values, by Student's t."""
    error = statistics.stdev(values) / len(values) ** 0.5
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    mean = statistics.mean(values)
    return mean - half, mean + half


def difference(values: Sequence[float], other: float) -> str:
    """Return by how much the mean of values over seeds is above a fixed one, in their unit.

    With more than one, its 95 % interval follows: "+2.55 (1.98 to 3.12)".
    """
    mean = f"{statistics.mean(values) - other:+.2f}"
    if len(values) < 2:
        return mean
    low, high = interval(values)
    return f"{mean} ({low - other:.2f} to {high - other:.2f})"


def seeds_table(paths: Sequence[Path]) -> str:
    """Return a table for the terminal: the test metrics of each run, and their mean and spread."""
    rows, columns = [], []
    for run in map(open_run, paths):
        metrics = run.metrics()["test"]
        columns.append([100 * metrics[key] for key in METRICS])
        cells = [f"{value:.2f}" for value in columns[-1]]
        minutes = f"{run.training_seconds() / 60:.1f}"
        rows.append([f"seed {run.config['settings']['seed']}", *cells, minutes])
    means = map(mean_and_spread, zip(*columns, strict=True))
    rows.append([f"mean, n = {len(rows)}", *means, ""])
    return text_table(["", "mean class\naccuracy", *_OTHERS, "minutes"], rows)


def results(paths: Iterable[Path]) -> str:
    """Return tables in Markdown of all runs, those that differ in their seed in one row.

    One for each data set and split scheme, by mean class accuracy, with the command of a run;
    then what the runs were made with.

    Args:
        paths: run directories, and folders of them.

    Raises:
        UsageError: a path is neither.
        RunError: a file of a run is missing or damaged.
    """
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in map(open_run, find_runs(paths)):
        groups.setdefault(_key(run), []).append(run)
    tables: dict[str, list[tuple[float, list[str]]]] = {}
    for runs in groups.values():
        accuracy, row = _row(runs)
        tables.setdefault(_title(runs[0]), []).append((accuracy, row))
    header = [
        *("run", "n", "mean class accuracy", "95 % interval", *_OTHERS),
        *("on validation", "minutes", "command"),
    ]
    parts = [
        f"**{title}**\n\n{markdown_table(header, [row for _, row in sorted(rows, reverse=True)])}"
        for title, rows in tables.items()
    ]
    return "\n\n".join([*parts, _conditions([run for runs in groups.values() for run in runs])])


def _key(run: Run) -> tuple[str, ...]:
    """Return what runs have in common that differ in their seed alone."""
    free = ("seed", *SOURCES)
    settings = {key: value for key, value in run.config["settings"].items() if key not in free}
    members = [without_seed(member["name"]) for member in run.config.get("members", [])]
    return _title(run), repr(sorted(settings.items())), repr(members)


def _title(run: Run) -> str:
    dataset = run.config["dataset"]
    images = ", ".join(f"{n:,} {split}" for split, n in dataset["splits"].items())
    split = re.sub(r", seed \d+", "", dataset["split"])
    return f"{data_title(dataset)}, {split}; images: {images}"


def _row(runs: Sequence[Run]) -> tuple[float, list[str]]:
    """Return the mean of the mean class accuracies, and the row of runs that differ in seed."""
    found = [run.metrics() for run in runs]
    columns = [[100 * splits["test"][key] for splits in found] for key in METRICS]
    low_high = " to ".join(map("{:.2f}".format, interval(columns[0]))) if len(runs) > 1 else ""
    validated = [100 * splits["val"]["mean_class_accuracy"] for splits in found if "val" in splits]
    minutes = [run.training_seconds() / 60 for run in runs]
    first, *others = map(mean_and_spread, columns)
    return statistics.mean(columns[0]), [
        *(without_seed(runs[0].name), str(len(runs)), first, low_high, *others),
        mean_and_spread(validated) if validated else "",
        f"{statistics.mean(minutes):.1f}" if any(minutes) else "",
        f"`{command_line(runs[0].config['command'])}`",
    ]


def _conditions(runs: Sequence[Run]) -> str:
    """Return the versions, machines and commits of runs, each once."""
    machines = dict.fromkeys(
        f"{config['hardware']['processor']}, cores: {config['hardware']['cores']}"
        for config in (run.config for run in runs)
    )
    versions = dict.fromkeys(
        ", ".join(f"{name} {version}" for name, version in run.config["versions"].items())
        for run in runs
    )
    commits = dict.fromkeys(run.config["git_commit"] or "unknown" for run in runs)
    return "\n".join(
        f"{word}: {'; '.join(found)}"
        for word, found in (("On", machines), ("With", versions), ("Commits", commits))
    )
