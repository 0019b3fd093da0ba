import csv
import dataclasses
import functools

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tfmodels import experiments, runs, study
from tfmodels.errors import RunError, UsageError
from tfmodels.models.vgg import vgg
from tfmodels.runs.predictions import Predictions, save_predictions
from tfmodels.config import CifarSettings, EurosatSettings


@pytest.fixture
def short_table(monkeypatch):
    """The first, second and last row of Table 1, with a tenth of the epochs and few filters."""
    few = functools.partial(vgg, filters=(4,), block_dropout=(0.1,), dense_units=8)
    monkeypatch.setattr(experiments, "vgg", few)
    rows = {
        name: (changes | {"epochs": changes.get("epochs", 10) // 10}, figures)
        for name, (changes, figures) in study.TABLE1.items()
        if name in ("lr 0.001", "lr 0.01", "20 epochs (lr 0.001)")
    }
    monkeypatch.setattr(study, "TABLE1", rows)


def test_table1_has_the_studys_settings_and_figures():
    settings = [
        dataclasses.replace(CifarSettings(), **changes) for changes, _ in study.TABLE1.values()
    ]
    assert [(s.lr, s.epochs, s.step_decay) for s in settings] == [
        (0.001, 10, True),
        (0.01, 10, True),
        (0.01, 10, False),
        (0.00001, 10, False),
        (0.001, 20, True),
    ]
    assert [figures[0] for _, figures in study.TABLE1.values()] == [
        79.95, 39.91, 27.71, 62.74, 77.77,
    ]  # fmt: skip


def test_table1_runs_what_is_missing_and_skips_what_is_complete(
    sample_dir, tmp_path, short_table, capsys
):
    settings = CifarSettings(data="sample", data_dir=str(sample_dir), limit=64)
    first = dataclasses.replace(settings, epochs=1)
    experiments.run_cifar(first, tmp_path / first.run_name())
    kept = (tmp_path / first.run_name() / "config.json").read_text()
    stopped = dataclasses.replace(settings, epochs=2)
    (tmp_path / (stopped.run_name() + ".incomplete")).mkdir()

    table = study.run_table1(settings, tmp_path)

    assert (tmp_path / first.run_name() / "config.json").read_text() == kept
    assert "complete already" in capsys.readouterr().err
    complete = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(complete) == 3
    assert all(runs.is_complete(path) for path in complete)
    assert (tmp_path / "table1.md").read_text() == table + "\n"
    with (tmp_path / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["setting"] for row in rows] == list(study.TABLE1)
    metrics = runs.read_json(tmp_path / first.run_name() / "metrics.json")["test"]
    assert rows[0]["F1"] == f"{100 * metrics['f1']:.2f}"
    assert rows[0]["study's F1"] == "79.86"


@pytest.fixture
def five_runs(tmp_path):
    """A folder with what --table1 looks at in five complete runs."""
    figures = dict.fromkeys(("mean_class_accuracy", "f1", "precision", "recall"), 0.5)
    for changes, _ in study.TABLE1.values():
        settings = CifarSettings(**changes)
        run = tmp_path / settings.run_name()
        run.mkdir()
        runs.write_json(
            run / "config.json", {"ended": "now", "settings": dataclasses.asdict(settings)}
        )
        runs.write_json(run / "metrics.json", {"test": figures})
    return tmp_path


def test_table1_of_five_complete_runs_from_the_command_line(five_runs, run_cifar_script):
    done = run_cifar_script("--table1", "--out", five_runs)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("complete already") == 5
    assert done.stdout.count("| 50.00 ") == 20
    assert done.stdout == (five_runs / "table1.md").read_text()


def test_table1_refuses_a_run_with_other_settings(five_runs):
    config = five_runs / CifarSettings(epochs=20).run_name() / "config.json"
    content = runs.read_json(config)
    content["settings"]["gamma"] = 0.5
    runs.write_json(config, content)
    with pytest.raises(UsageError, match=r"made with --gamma 0.5, not 0.1"):
        study.run_table1(CifarSettings(), five_runs)


def test_table1_finds_a_folder_in_the_way_before_it_trains(tmp_path, sample_dir):
    settings = CifarSettings(data="sample", data_dir=str(sample_dir))
    (tmp_path / dataclasses.replace(settings, epochs=20).run_name()).mkdir()
    with pytest.raises(UsageError, match="no complete run"):
        study.run_table1(settings, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_table3_has_the_studys_settings_and_figures():
    rows = [(c["model"], c["weights"], f[0]) for c, f in study.TABLE3.values()]
    assert rows == [
        ("mobilenetv2", "none", 92.72),
        ("alexnet", "none", 92.53),
        ("mobilenetv2", "imagenet", 97.44),
        ("alexnet", "imagenet", 97.01),
    ]
    assert study.FUSION[0] == 97.75


@pytest.fixture
def four_runs(tmp_path, random_probabilities):
    """A folder with what --table3 looks at in four complete runs."""
    ids, labels = np.array([f"{i}.jpg" for i in range(200)]), np.arange(200) % 10
    figures = dict.fromkeys(("mean_class_accuracy", "f1", "precision", "recall"), 0.5)
    for number, (changes, _) in enumerate(study.TABLE3.values()):
        settings = EurosatSettings(**changes)
        run = tmp_path / settings.run_name()
        run.mkdir()
        config = {
            "ended": "now",
            "settings": dataclasses.asdict(settings),
            "dataset": {"name": "eurosat", "version": "2.0.0", "split": "random, seed 0"},
        }
        runs.write_json(run / "config.json", config)
        runs.write_json(run / "metrics.json", {"test": figures})
        probabilities = random_probabilities(200, 10, seed=number)
        probabilities[labels == number] = np.eye(10)[number]  # each knows one class
        predictions = Predictions(ids, labels, probabilities)
        classes = tuple("abcdefghij")
        save_predictions(run / "predictions.npz", {"test": predictions}, classes)
    return tmp_path


def test_table3_of_four_complete_runs_fuses_the_pretrained_two(four_runs, run_eurosat_script):
    done = run_eurosat_script("--table3", "--out", four_runs)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("complete already") == 4
    assert done.stdout == (four_runs / "table3.md").read_text()
    with (four_runs / "table3.csv").open() as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*study.TABLE3, "late fusion of the pretrained two"]
    assert rows["AlexNet"]["F1"] == "50.00"
    members = [np.load(four_runs / rows[name]["run"] / "predictions.npz") for name in study.FUSED]
    total = members[0]["test_probabilities"] + members[1]["test_probabilities"]
    expected = balanced_accuracy_score(members[0]["test_labels"], total.argmax(axis=1))
    fused = rows["late fusion of the pretrained two"]
    assert fused["mean class accuracy"] == f"{100 * expected:.2f}"
    assert fused["study's mean class accuracy"] == "97.75"


def test_table3_finds_missing_weights_before_it_trains(sample_dir, tmp_path, monkeypatch):
    changes, figures = study.TABLE3["AlexNet, pretrained"]
    missing = changes | {"weights": str(tmp_path / "missing.npz")}
    rows = {"MobileNet": study.TABLE3["MobileNet"], "pretrained": (missing, figures)}
    monkeypatch.setattr(study, "TABLE3", rows)
    settings = EurosatSettings(data="sample", data_dir=str(sample_dir), limit=64, epochs=1)
    with pytest.raises(RunError, match=r"missing\.npz can't be read"):
        study.run_table3(settings, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
