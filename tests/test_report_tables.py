from collections.abc import Callable
from pathlib import Path

from tfmodels.report.tables import (
    csv_table,
    learned_in_words,
    markdown_table,
    percent,
    summary,
    text_table,
)
from tfmodels.runs.directory import write_json


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


def test_summary_of_a_run(tmp_path: Path) -> None:
    row = {"precision": 0.5, "recall": 0.75, "f1": 0.6, "support": 4}
    test = {
        "accuracy": 0.7,
        "mean_class_accuracy": 0.75,
        "f1": 0.6,
        "precision": 0.5,
        "recall": 0.75,
        "per_class": {"cat": row},
        "most_confused": ["cat confused with dog: 1"],
    }
    write_json(tmp_path / "metrics.json", {"test": test})
    write_json(tmp_path / "config.json", {"dataset": {"split": "random, seed 0"}})
    assert summary(tmp_path).splitlines() == [
        "class      precision    recall     F1    images",
        "-------  -----------  --------  -----  --------",
        "cat            50.00     75.00  60.00         4",
        "",
        "Most confused: cat confused with dog: 1",
        "Split: random, seed 0",
        "",
        "mean class accuracy: 75.00 %",
        "F1: 60.00 %",
        "precision: 50.00 %",
        "recall: 75.00 %",
        "accuracy: 70.00 %",
    ]


def test_the_table_of_a_summary_fits_80_columns(
    make_run: Callable[..., Path],
) -> None:
    run = make_run("x" * 59, skill=50)
    table = summary(run).split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 80
