import csv
from pathlib import Path

import pytest

from tests.toys import TOY_DATA, TOY_NETWORK
from tfmodels.config import Config
from tfmodels.data.catalog import DATASETS
from tfmodels.errors import RunError
from tfmodels.models.catalog import NETWORKS
from tfmodels.report.seeds import seeds_table
from tfmodels.report.tables import summary
from tfmodels.runs.contents import open_run
from tfmodels.runs.manifest import write_manifest
from tfmodels.series import run_seeds


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setitem(NETWORKS, "toy", TOY_NETWORK)
    monkeypatch.setitem(DATASETS, "toy", TOY_DATA)
    return Config(data="toy", model="toy", epochs=1)


def test_a_run_for_each_seed_and_only_those_that_are_missing(
    toys: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_seeds(toys, [1], tmp_path)
    runs = run_seeds(toys, [0, 1], tmp_path)
    assert runs == [tmp_path / "toy_toy_epochs1_seed0", *first]
    assert [open_run(run).config["settings"]["seed"] for run in runs] == [0, 1]
    assert capsys.readouterr().err.count("complete already") == 1
    rows = [line.split() for line in seeds_table(runs).splitlines()[3:]]
    accuracies = [row[2] for row in rows[:2]]
    for run, accuracy in zip(runs, accuracies, strict=True):
        assert f"mean class accuracy: {accuracy} %" in summary(run)
    assert rows[2][:3] == ["mean,", "n", "="]
    assert float(rows[2][4]) == pytest.approx(sum(map(float, accuracies)) / 2, abs=0.01)


def test_training_seconds_are_those_of_all_epochs(toys: Config, tmp_path: Path) -> None:
    (run,) = run_seeds(toys, [0], tmp_path)
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert open_run(run).training_seconds() == pytest.approx(float(rows[0]["seconds"]))
    text = (run / "history.csv").read_text()
    (run / "history.csv").write_text(text.replace(rows[0]["seconds"], "long"))
    write_manifest(run)
    with pytest.raises(RunError, match=r"history\.csv is damaged .*long"):
        open_run(run).training_seconds()
