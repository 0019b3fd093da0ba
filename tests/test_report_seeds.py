from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from tests.conftest import change_json
from tfmodels import cli
from tfmodels.errors import UsageError
from tfmodels.fusion.combine import run_fusion
from tfmodels.fusion.members import load_members
from tfmodels.report.seeds import difference, interval, mean_and_spread, results
from tfmodels.runs.contents import open_run
from tfmodels.runs.manifest import write_manifest

MakeRun = Callable[..., Path]


def test_mean_spread_interval_and_difference() -> None:
    values = [82.65, 82.23, 82.61]
    assert mean_and_spread(values) == "82.50 ± 0.23"
    assert mean_and_spread([82.654]) == "82.65"
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((expected.low, expected.high))
    assert difference(values, 79.95) == "+2.55 (1.97 to 3.12)"
    assert difference(values[:1], 83.0) == "-0.35"


@pytest.fixture
def folder(make_run: MakeRun) -> Path:
    """Two runs that differ in their seed, one of another rate, and the fusions of two seeds."""
    runs = {}
    for name, seed, lr in (("a_seed0", 0, 0.1), ("a_seed1", 1, 0.1), ("b_seed0", 0, 0.2)):
        path = make_run(name, seed=seed + (10 if lr == 0.2 else 0), lr=lr)
        settings = open_run(path).config["settings"] | {"seed": seed}
        change_json(path / "config.json", settings=settings)
        write_manifest(path)
        runs[name] = path
    return runs["a_seed0"].parent


def test_runs_that_differ_in_their_seed_make_one_row(folder: Path) -> None:
    text = results([folder])
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")][1:]
    rows = [[cell.strip() for cell in row] for row in rows]
    found = {row[0]: row for row in rows}
    assert set(found) == {"a", "b"}
    both = [
        100 * open_run(folder / f"a_seed{i}").metrics()["test"]["mean_class_accuracy"]
        for i in (0, 1)
    ]
    assert found["a"][1:3] == ["2", mean_and_spread(both)]
    low, high = interval(both)
    assert found["a"][3] == f"{low:.2f} to {high:.2f}"
    assert found["b"][1] == "1"
    assert found["b"][3] == ""
    accuracies = [float(row[2].split(" ± ")[0]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert "`python train_eurosat.py --model mobilenetv2" in text
    assert text.count("\nCommits: ") == 1


def test_fusions_of_several_seeds_make_one_row(folder: Path) -> None:
    for seed in (0, 1):
        other = folder / "b_seed0"
        members = load_members([folder / f"a_seed{seed}", other])
        run_fusion(members, "sum", False, folder / f"fused_seed{seed}")
    rows = [line for line in results([folder]).splitlines() if line.startswith("| fused")]
    assert len(rows) == 1
    assert rows[0].split("|")[2].strip() == "2"


def test_a_path_without_runs_is_refused(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="is not a complete run directory and holds none"):
        results([folder, tmp_path / "none"])
    assert cli.main(["results", str(tmp_path / "none")]) == 2
    assert cli.main(["results", str(folder / "a_seed0"), str(folder)]) == 0
    assert "| a " in capsys.readouterr().out
