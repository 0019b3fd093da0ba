"""Metrics as tables and lines of text, fractions in percent.

Tables for the terminal fit 80 columns.
"""

import csv
import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from tfmodels.evaluation import METRICS, PROBABILISTIC
from tfmodels.runs.contents import open_run

_FIRST, *_OTHERS = METRICS.values()
METRIC_COLUMNS = (_FIRST, "95 % CI", *_OTHERS, *PROBABILISTIC.values())
# Columns that fit the terminal, with short headings; the others are in files.
FUSION_COLUMNS = {
    "": "",
    "mean class accuracy": "mean class\naccuracy",
    "95 % CI": "95 % CI",
    "F1": "F1",
    "precision": "precision",
    "recall": "recall",
    "NLL": "NLL",
}
METHOD_COLUMNS = {
    "method": "method",
    "validation (5-fold)": "validation\n(5-fold)",
    "mean class accuracy": "test",
    "95 % CI": "95 % CI",
    "NLL": "NLL",
    "difference": "difference",
    "McNemar p": "p",
}
WIDEST_NAME = 38  # of a class in the terminal; longer ones are wrapped


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table whose columns are aligned as plain text too."""
    table: str = tabulate(rows, header, tablefmt="github", disable_numparse=True)
    return table


def text_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table for the terminal: names on the left, numbers aligned on the right."""
    others = len(header) - 1
    table: str = tabulate(
        rows,
        header,
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", *["right"] * others),
        maxcolwidths=[WIDEST_NAME, *[None] * others],
    )
    return table


def wrap(text: str, indent: int = 2) -> str:
    """Return a line of text in lines that fit the terminal, all but the first indented."""
    return textwrap.fill(
        text, 79, subsequent_indent=indent * " ", break_long_words=False, break_on_hyphens=False
    )


def csv_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def percent(fraction: float) -> str:
    """Return a fraction in percent with two digits."""
    return f"{100 * fraction:.2f}"


def data_title(dataset: Mapping[str, Any]) -> str:
    """Return the name of a data set, with its version if it has one."""
    return " ".join(filter(None, (dataset["name"], dataset["version"])))


def scientific(number: float) -> str:
    """Return a large number in short, such as 1.5e12."""
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def summary(path: Path) -> str:
    """Return the test results of a run: per class, most confused pairs, split, and its metrics."""
    run = open_run(path)
    metrics = run.metrics()
    test, validation = metrics["test"], metrics.get("val")
    per_class = text_table(
        ["class", "precision", "recall", "F1", "images"],
        [
            [name, *(percent(row[key]) for key in ("precision", "recall", "f1")), row["support"]]
            for name, row in test["per_class"].items()
        ],
    )
    lines = [
        f"{name}: {percent(test[key])} %"
        for key, name in (METRICS | {"accuracy": "accuracy"}).items()
    ]
    if validation:
        mean = percent(validation["mean_class_accuracy"])
        lines.append(f"mean class accuracy on validation, to choose by: {mean} %")
    return "\n".join(
        [
            per_class,
            "",
            wrap(f"Most confused: {'; '.join(test['most_confused']) or 'none'}"),
            wrap(f"Split: {run.config['dataset']['split']}"),
            "",
            *lines,
        ]
    )


def fusion_summary(comparison: dict[str, Any], learned: dict[str, Any]) -> str:
    """Return what `fusion.comparison.compare` found: metrics, confused pairs, and the test."""
    metrics, intervals, rival = (comparison[key] for key in ("metrics", "intervals", "rival"))
    runs = short_names(name for name in metrics if name not in ("fusion", "oracle"))
    rows = [
        [runs.get(name, name), *metric_cells(row, intervals[name], name != "oracle")]
        for name, row in metrics.items()
    ]
    confused = [
        wrap(f"Most confused by {name}: {'; '.join(metrics[key]['most_confused']) or 'none'}")
        for name, key in ((runs[rival], rival), ("the fusion", "fusion"))
    ]
    return "\n".join(
        [
            select_columns(FUSION_COLUMNS, ["", *METRIC_COLUMNS], rows),
            "",
            *confused,
            wrap(diversity_in_words(comparison["diversity"])),
            *([wrap(f"Learned on validation: {learned_in_words(learned)}")] if learned else []),
            "",
            f"Mean class accuracy of the fusion against {runs[rival]} (the best on validation):",
            wrap(comparison["differences"]["fusion"]["in_words"]),
        ]
    )


def methods_table(
    comparison: dict[str, Any],
    validation: Mapping[str, float],
    learned: Mapping[str, dict[str, Any]],
) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table of fusion methods, with their members and the oracle.

    Args:
        comparison: of the methods with the members, as `fusion.comparison.compare` returns it.
        validation: mean class accuracy on validation, by method.
        learned: what each method learned.
    """
    header = [
        *("method", "validation (5-fold)", *METRIC_COLUMNS),
        *("difference", "95 % CI of difference", "difference from", "McNemar p", "learned"),
    ]
    rows = []
    for name, metrics in comparison["metrics"].items():
        cells = metric_cells(metrics, comparison["intervals"][name], name != "oracle")
        if name not in validation:
            rows.append([name, "", *cells, "", "", "", "", ""])
            continue
        difference = comparison["differences"][name]
        points = 100 * (difference["accuracy"] - difference["rival"])
        rows.append(
            [
                name,
                percent(validation[name]),
                *cells,
                f"{round(points, 2) + 0.0:+.2f}",  # no minus zero
                f"{100 * difference['low']:+.2f} to {100 * difference['high']:+.2f}",
                comparison["rival"],
                f"{difference['p']:.2g}",
                learned_in_words(learned[name]),
            ]
        )
    return header, rows


def select_columns(
    columns: Mapping[str, str], header: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
    """Return a table for the terminal of some columns, by their name and their short heading."""
    chosen = [header.index(name) for name in columns]
    return text_table(list(columns.values()), [[row[i] for i in chosen] for row in rows])


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return short names for runs in tables: run 1, run 2, ... by their own names."""
    return {name: f"run {number}" for number, name in enumerate(names, 1)}


def diversity_in_words(diversity: Mapping[str, float]) -> str:
    """Return how much the members of a fusion differ."""
    return (
        f"Two members disagree on {percent(diversity['disagreement'])} % of the images; "
        f"correlation of their errors: {diversity['error_correlation']:.2f}"
    )


def learned_in_words(learned: dict[str, Any]) -> str:
    """Return what a fusion method learned, such as "weights 0.43, 0.57; temperature 0.9"."""
    return "; ".join(
        f"{key} {', '.join(f'{number:.3g}' for number in np.atleast_1d(value))}"
        for key, value in learned.items()
    )


def metric_cells(
    metrics: dict[str, Any],
    intervals: dict[str, tuple[float, float]],
    of_probabilities: bool = True,
) -> list[str]:
    """Return the cells of a row of `METRIC_COLUMNS`."""
    first, *others = [percent(metrics[key]) for key in METRICS]
    low, high = intervals["mean_class_accuracy"]
    probabilistic = [f"{metrics[key]:.4f}" if of_probabilities else "" for key in PROBABILISTIC]
    return [first, f"{percent(low)}-{percent(high)}", *others, *probabilistic]
