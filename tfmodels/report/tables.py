"""Figures as tables to read: Markdown, shares in percent."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels.evaluation import FIGURES, PROBABILISTIC
from tfmodels.runs.directory import read_json

_FIRST, *_OTHERS = FIGURES.values()
FIGURE_COLUMNS = (_FIRST, "95 % CI", *_OTHERS, *PROBABILISTIC.values())


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table whose columns are aligned as plain text too."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def csv_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The same table as comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def percent(fraction: float) -> str:
    """A fraction in percent with two digits."""
    return f"{100 * fraction:.2f}"


def summary(run: Path) -> str:
    """The test results of a run: per class, most confused pairs, split, and its row of figures."""
    test = read_json(run / "metrics.json")["test"]
    split = read_json(run / "config.json")["dataset"]["split"]
    per_class = markdown_table(
        ["class", "precision", "recall", "f1", "pictures"],
        [
            [name, *(percent(row[key]) for key in ("precision", "recall", "f1")), row["support"]]
            for name, row in test["per_class"].items()
        ],
    )
    row = markdown_table(
        ["run", *FIGURES.values()], [[run.name, *(percent(test[key]) for key in FIGURES)]]
    )
    confused = "; ".join(test["most_confused"]) or "no mistakes"
    return f"{per_class}\n\nMost confused: {confused}\nSplit: {split}\n\n{row}"


def fusion_summary(comparison: dict[str, Any], learned: dict[str, Any]) -> str:
    """What `ensemble.compare` says: confused pairs, a row of figures each, and the verdict."""
    figures, intervals, rival = (comparison[key] for key in ("figures", "intervals", "rival"))
    runs = numbered(name for name in figures if name not in ("fusion", "oracle"))
    table = markdown_table(
        ["", *FIGURE_COLUMNS],
        [
            [runs.get(name, name), *figure_cells(row, intervals[name], name != "oracle")]
            for name, row in figures.items()
        ],
    )
    confused = (
        f"Most confused by {name}: {'; '.join(figures[key]['most_confused']) or 'nothing'}"
        for name, key in ((runs[rival], rival), ("the fusion", "fusion"))
    )
    return "\n".join(
        [
            table,
            "",
            *confused,
            *([f"Learned on validation: {learned_in_words(learned)}"] if learned else []),
            "",
            f"Mean class accuracy of the fusion, against {runs[rival]} (the best on validation):",
            comparison["differences"]["fusion"]["in_words"],
            "",
        ]
    )


def numbered(names: Iterable[str]) -> dict[str, str]:
    """Short names for runs in tables, by their own: run 1, run 2, ..."""
    return {name: f"run {number}" for number, name in enumerate(names, 1)}


def learned_in_words(learned: dict[str, Any]) -> str:
    """What a method of fusion learned, such as "weights 0.43, 0.57; temperature 0.9"."""
    return "; ".join(
        f"{key} {', '.join(f'{number:.3g}' for number in np.atleast_1d(value))}"
        for key, value in learned.items()
    )


def figure_cells(
    figures: dict[str, Any],
    intervals: dict[str, tuple[float, float]],
    of_probabilities: bool = True,
) -> list[str]:
    """The cells of a row of `FIGURE_COLUMNS`."""
    first, *others = [percent(figures[key]) for key in FIGURES]
    low, high = intervals["mean_class_accuracy"]
    probabilistic = [f"{figures[key]:.4f}" if of_probabilities else "" for key in PROBABILISTIC]
    return [first, f"{percent(low)} to {percent(high)}", *others, *probabilistic]
