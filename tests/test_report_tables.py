from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.conftest import change_arrays
from tfmodels.report.tables import (
    csv_table,
    learned_in_words,
    markdown_table,
    percent,
    summary,
    text_table,
)
from tfmodels.runs.manifest import write_manifest
from tfmodels.safe_files import write_json


def test_a_markdown_table_is_aligned() -> None:
    table = markdown_table(["a", "long"], [["row 1", 2], ["r", "3.50"]])
    assert table.splitlines() == [
        "| a     | long   |",
        "|-------|--------|",
        "| row 1 | 2      |",
        "| r     | 3.50   |",
    ]


def test_a_table_for_the_terminal_has_numbers_on_the_right_and_wraps_names() -> None:
    table = text_table(["class", "F1"], [["x" * 50, "9.10"], ["b", "10.00"]])
    assert table.splitlines() == [
        "class                                      F1",
        "--------------------------------------  -----",
        "x" * 38 + "   9.10",
        "x" * 12,
        "b" + " " * 39 + "10.00",
    ]


def test_a_csv_table_quotes_commas() -> None:
    assert csv_table(["a", "b"], [["1, 2", 3]]) == 'a,b\n"1, 2",3\n'


def test_percent() -> None:
    assert [percent(x) for x in (0, 0.79951, 1)] == ["0.00", "79.95", "100.00"]


def test_what_was_learned_in_words() -> None:
    learned = {"weights": [0.4321, 0.5679], "temperature": 0.9}
    assert learned_in_words(learned) == "weights 0.432, 0.568; temperature 0.9"


def test_summary_of_a_run(make_run: Callable[..., Path]) -> None:
    run = make_run()
    labels = np.repeat([0, 1, 2], 50)
    predicted = labels.copy()
    predicted[:10], predicted[50:55] = 2, 0
    probabilities = np.eye(3, dtype=np.float32)[predicted]
    change_arrays(run / "predictions.npz", test_labels=labels, test_probabilities=probabilities)
    with np.load(run / "predictions.npz") as saved:
        right = saved["val_labels"] == saved["val_probabilities"].argmax(axis=1)
        recalls = np.array([right[saved["val_labels"] == label].mean() for label in range(3)])
    write_json(run / "metrics.json", {"test": {"accuracy": 2.0}})  # isn't looked at
    write_manifest(run)
    assert summary(run).splitlines() == [
        "class      precision    recall     F1    images",
        "-------  -----------  --------  -----  --------",
        "Forest         88.89     80.00  84.21        50",
        "River         100.00     90.00  94.74        50",
        "Highway        83.33    100.00  90.91        50",
        "",
        "Most confused: Forest confused with Highway: 10; River confused with Forest: 5",
        "Split: random, seed 0",
        "",
        "mean class accuracy: 90.00 %",
        "F1: 89.95 %",
        "precision: 90.74 %",
        "recall: 90.00 %",
        "accuracy: 90.00 %",
        f"mean class accuracy on validation, to choose by: {100 * recalls.mean():.2f} %",
    ]


def test_the_table_of_a_summary_fits_80_columns(
    make_run: Callable[..., Path],
) -> None:
    run = make_run("x" * 59, skill=50)
    table = summary(run).split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 80
