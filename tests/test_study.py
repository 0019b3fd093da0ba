import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from tests.conftest import RunScript
from tests.toys import TOY_DATA, TOY_NETWORK
from tfmodels import study
from tfmodels.config import Config
from tfmodels.data.catalog import DATASETS
from tfmodels.errors import RunError, UsageError
from tfmodels.experiment import run
from tfmodels.models.catalog import NETWORKS
from tfmodels.runs.directory import is_complete, read_json, write_json
from tfmodels.runs.predictions import Predictions, load_predictions, save_predictions


@pytest.fixture
def short_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first, second and last row of Table 1, with a tenth of the epochs, on toys."""
    monkeypatch.setitem(NETWORKS, "toy", TOY_NETWORK)
    monkeypatch.setitem(DATASETS, "toy", TOY_DATA)
    rows = {
        name: (changes | {"epochs": changes.get("epochs", 10) // 10}, metrics)
        for name, (changes, metrics) in study.TABLE1.items()
        if name in ("lr 0.001", "lr 0.01", "20 epochs (lr 0.001)")
    }
    monkeypatch.setattr(study, "TABLE1", rows)


def test_table1_has_the_studys_settings_and_metrics() -> None:
    configs = [dataclasses.replace(Config(), **changes) for changes, _ in study.TABLE1.values()]
    assert [(config.lr, config.epochs, config.schedule) for config in configs] == [
        (0.001, 10, "step"),
        (0.01, 10, "step"),
        (0.01, 10, "constant"),
        (0.00001, 10, "constant"),
        (0.001, 20, "step"),
    ]
    assert [metrics[0] for _, metrics in study.TABLE1.values()] == [
        79.95, 39.91, 27.71, 62.74, 77.77,
    ]  # fmt: skip


def test_table1_runs_what_is_missing_and_skips_what_is_complete(
    tmp_path: Path, short_table: None, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(data="toy")
    first = run(dataclasses.replace(config, epochs=1), out=tmp_path)
    kept = (first / "config.json").read_text()
    stopped = dataclasses.replace(config, epochs=2)
    (tmp_path / (stopped.run_name() + ".incomplete")).mkdir()

    table = study.run_table1(config, tmp_path)

    assert (first / "config.json").read_text() == kept
    assert "complete already" in capsys.readouterr().err
    complete = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(complete) == 3
    assert all(is_complete(path) for path in complete)
    assert max(len(line) for line in table.splitlines() if str(tmp_path) not in line) <= 80
    with (tmp_path / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["setting"] for row in rows] == list(study.TABLE1)
    splits, _ = load_predictions(first / "predictions.npz")
    labels, predicted = splits["test"].labels, splits["test"].probabilities.argmax(axis=1)
    assert rows[0]["F1"] == f"{100 * f1_score(labels, predicted, average='macro'):.2f}"
    assert rows[0]["study's F1"] == "79.86"


def complete_run(path: Path, config: Config, probabilities: np.ndarray) -> None:
    """Write what a table looks at in a complete run."""
    path.mkdir()
    n, classes = probabilities.shape
    write_json(
        path / "config.json",
        {
            "ended": "now",
            "settings": dataclasses.asdict(config),
            "dataset": {"name": config.data, "version": "2.0.0", "split": "random, seed 0"},
        },
    )
    ids, labels = np.array([f"{i}.jpg" for i in range(n)]), np.arange(n) % classes
    predictions = {"test": Predictions(ids, labels, probabilities)}
    save_predictions(path / "predictions.npz", predictions, tuple("abcdefghij"[:classes]))


@pytest.fixture
def five_runs(tmp_path: Path) -> Path:
    """A folder with what --table1 looks at in five complete runs, each right on half."""
    half = np.eye(2, dtype=np.float32)[np.zeros(40, int)]
    for changes, _ in study.TABLE1.values():
        config = Config(**changes)
        complete_run(tmp_path / config.run_name(), config, half)
    return tmp_path


def test_table1_of_five_complete_runs_from_the_command_line(
    five_runs: Path, run_script: RunScript
) -> None:
    done = run_script("train_cifar.py", "--table1", "--out", five_runs)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("complete already") == 5
    for row, (_, metrics) in zip(done.stdout.splitlines()[2:7], study.TABLE1.values(), strict=True):
        assert [cell.strip() for cell in row.split("|")[2:4]] == ["50.00", f"{metrics[0]:.2f}"]
    assert (five_runs / "table1.md").read_text().count("50.00") == 5 * 2


def test_table1_refuses_a_run_with_other_settings(five_runs: Path) -> None:
    path = five_runs / Config(epochs=20).run_name() / "config.json"
    content = read_json(path)
    content["settings"]["gamma"] = 0.5
    write_json(path, content)
    with pytest.raises(UsageError, match=r"made with `gamma=0.5`, not 0.1"):
        study.run_table1(Config(), five_runs)


def test_table1_finds_a_folder_in_the_way_before_it_trains(tmp_path: Path) -> None:
    (tmp_path / Config(epochs=20).run_name()).mkdir()
    with pytest.raises(UsageError, match="not a complete run"):
        study.run_table1(Config(), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_table3_has_the_studys_settings_and_metrics() -> None:
    rows = [(c["model"], c["weights"], m[0]) for c, m in study.TABLE3.values()]
    assert rows == [
        ("mobilenetv2", "none", 92.72),
        ("alexnet", "none", 92.53),
        ("mobilenetv2", "imagenet", 97.44),
        ("alexnet", "imagenet", 97.01),
    ]
    assert study.FUSION[0] == 97.75


@pytest.fixture
def four_runs(tmp_path: Path, random_probabilities: Any) -> Path:
    """A folder with what --table3 looks at in four complete runs."""
    for number, (changes, _) in enumerate(study.TABLE3.values()):
        config = Config(data="eurosat", **changes)
        probabilities = random_probabilities(200, 10, seed=number)
        probabilities[np.arange(200) % 10 == number] = np.eye(10)[number]  # each knows one class
        complete_run(tmp_path / config.run_name(), config, probabilities)
    return tmp_path


def test_table3_of_four_complete_runs_fuses_the_pretrained_two(
    four_runs: Path, run_script: RunScript
) -> None:
    done = run_script("train_eurosat.py", "--table3", "--out", four_runs)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("complete already") == 4
    with (four_runs / "table3.csv").open() as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*study.TABLE3, "late fusion of the pretrained two"]
    members = [np.load(four_runs / rows[name]["run"] / "predictions.npz") for name in study.FUSED]
    total = members[0]["test_probabilities"] + members[1]["test_probabilities"]
    expected = balanced_accuracy_score(members[0]["test_labels"], total.argmax(axis=1))
    fused = rows["late fusion of the pretrained two"]
    assert fused["mean class accuracy"] == f"{100 * expected:.2f}"
    assert fused["study's mean class accuracy"] == "97.75"


def test_table3_finds_missing_weights_before_it_trains(
    sample_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, metrics = study.TABLE3["AlexNet, pretrained"]
    missing = changes | {"weights": str(tmp_path / "missing.npz")}
    rows = {"MobileNet": study.TABLE3["MobileNet"], "pretrained": (missing, metrics)}
    monkeypatch.setattr(study, "TABLE3", rows)
    config = Config(data="land-sample", data_dir=str(sample_dir), limit=64, epochs=1)
    with pytest.raises(RunError, match=r"missing\.npz"):
        study.run_table3(config, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
