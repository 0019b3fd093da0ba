"""Figures as tables to read: Markdown, shares in percent."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tfmodels.evaluation import FIGURES, PROBABILISTIC
from tfmodels.runs import read_json

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


def fusion_summary(comparison: dict[str, Any]) -> str:
    """What `ensemble.compare` says: confused pairs, a row of figures each, and the verdict."""
    figures, intervals, rival = (comparison[key] for key in ("figures", "intervals", "rival"))
    table = markdown_table(
        ["run", *FIGURE_COLUMNS],
        [
            [name, *figure_cells(row, intervals[name], of_probabilities=name != "oracle")]
            for name, row in figures.items()
        ],
    )
    confused = (
        f"Most confused by {name}: {'; '.join(figures[key]['most_confused']) or 'nothing'}"
        for name, key in ((rival, rival), ("the fusion", "fusion"))
    )
    return "\n".join(
        [
            table,
            "",
            *confused,
            "",
            f"Mean class accuracy of the fusion, against {rival} (the best on validation):",
            comparison["differences"]["fusion"]["in_words"],
            "",
        ]
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
