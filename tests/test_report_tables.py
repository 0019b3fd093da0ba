from tfmodels.runs.directory import write_json
from tfmodels.report.tables import learned_in_words, markdown_table, percent, summary


def test_a_markdown_table_is_aligned():
    table = markdown_table(["a", "long"], [["row 1", 2], ["r", 3.5]])
    assert table.splitlines() == [
        "| a     | long |",
        "|-------|------|",
        "| row 1 | 2    |",
        "| r     | 3.5  |",
    ]


def test_percent():
    assert [percent(x) for x in (0, 0.79951, 1)] == ["0.00", "79.95", "100.00"]


def test_what_was_learned_in_words():
    learned = {"weights": [0.4321, 0.5679], "temperature": 0.9}
    assert learned_in_words(learned) == "weights 0.432, 0.568; temperature 0.9"


def test_summary_of_a_run(tmp_path):
    row = {"precision": 0.5, "recall": 0.75, "f1": 0.6, "support": 4}
    test = {
        "mean_class_accuracy": 0.75,
        "f1": 0.6,
        "precision": 0.5,
        "recall": 0.75,
        "per_class": {"cat": row},
        "most_confused": ["cat taken for dog: 1"],
    }
    write_json(tmp_path / "metrics.json", {"test": test})
    write_json(tmp_path / "config.json", {"dataset": {"split": "random, seed 0"}})
    text = summary(tmp_path)
    assert "| cat   | 50.00     | 75.00  | 60.00 | 4        |" in text
    assert "Most confused: cat taken for dog: 1\nSplit: random, seed 0\n" in text
    assert text.splitlines()[-1].split("|")[2:6] == [
        " 75.00               ", " 60.00 ", " 50.00     ", " 75.00  ",
    ]  # fmt: skip
