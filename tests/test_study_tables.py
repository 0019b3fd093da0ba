import csv
import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from tests.conftest import RunScript, change_json
from tests.toys import TOY_DATA, TOY_NETWORK
from tfmodels.config import Config
from tfmodels.data.catalog import DATASETS
from tfmodels.errors import RunError, UsageError
from tfmodels.evaluation import METRICS
from tfmodels.experiment import run
from tfmodels.models.catalog import NETWORKS
from tfmodels.recipes import configure, run_name
from tfmodels.runs.contents import open_run
from tfmodels.runs.directory import is_complete
from tfmodels.runs.manifest import write_manifest
from tfmodels.runs.predictions import align
from tfmodels.safe_files import write_json
from tfmodels.study import tables as study


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
    (tmp_path / (run_name(stopped) + ".incomplete")).mkdir()

    table = study.run_table1({"data": "toy"}, tmp_path)

    assert (first / "config.json").read_text() == kept
    assert "complete already" in capsys.readouterr().err
    complete = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(complete) == 3
    assert all(is_complete(path) for path in complete)
    assert max(len(line) for line in table.splitlines() if str(tmp_path) not in line) <= 80
    with (tmp_path / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["setting"] for row in rows] == list(study.TABLE1)
    test = open_run(first).predictions()["test"]
    labels, predicted = test.labels, test.probabilities.argmax(axis=1)
    assert rows[0]["F1"] == f"{100 * f1_score(labels, predicted, average='macro'):.2f}"
    assert rows[0]["study's F1"] == "79.86"


@pytest.fixture
def complete_run(make_run: Callable[..., Path]) -> Callable[[Config], Path]:
    """A function that writes a complete run with some settings, and a metrics.json that lies."""
    seeds = itertools.count()

    def make(config: Config) -> Path:
        run = make_run(run_name(config), seed=next(seeds), order_seed=len(run_name(config)))
        change_json(run / "config.json", settings=dataclasses.asdict(config))
        write_json(run / "metrics.json", {"test": dict.fromkeys(METRICS, 5.0)})
        write_manifest(run)
        return run

    return make


def accuracy(*runs: Path) -> str:
    """Return the mean class accuracy of the sum of some runs' predictions, in percent."""
    tests = [open_run(run).predictions()["test"] for run in runs]
    _, labels, probabilities = align({str(i): test for i, test in enumerate(tests)})
    score = balanced_accuracy_score(labels, probabilities.sum(axis=0).argmax(axis=1))
    return f"{100 * score:.2f}"


@pytest.fixture
def five_runs(tmp_path: Path, complete_run: Callable[[Config], Path]) -> Path:
    """A folder with five complete runs, one for each row of Table 1."""
    for changes, _ in study.TABLE1.values():
        complete_run(Config(**changes))
    return tmp_path


def test_table1_of_five_complete_runs_from_the_command_line(
    five_runs: Path, run_script: RunScript
) -> None:
    done = run_script("train_cifar.py", "--table1", "--out", five_runs)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("complete already") == 5
    rows = zip(done.stdout.splitlines()[3:8], study.TABLE1.values(), strict=True)
    for row, (changes, metrics) in rows:
        ours = accuracy(five_runs / run_name(Config(**changes)))
        assert re.split("  +", row)[1:3] == [ours, f"{metrics[0]:.2f}"]
        assert f"| {ours} " in (five_runs / "table1.md").read_text()


def test_a_table_of_several_seeds_has_means_spreads_and_intervals(
    five_runs: Path, complete_run: Callable[[Config], Path]
) -> None:
    for seed in (1, 2):
        for changes, _ in study.TABLE1.values():
            complete_run(Config(seed=seed, **changes))
    table = study.run_table1({}, five_runs, seeds=(0, 1, 2))
    name, (changes, metrics) = next(iter(study.TABLE1.items()))
    runs = [five_runs / run_name(Config(seed=seed, **changes)) for seed in (0, 1, 2)]
    ours = np.array([float(accuracy(run)) for run in runs])
    mean, row, sd = ours.mean(), table.splitlines()[3], ours.std(ddof=1)
    low, high = stats.ttest_1samp(ours, metrics[0]).confidence_interval() - np.array(metrics[0])
    found = [float(number) for number in re.findall(r"-?\d+\.\d+", row.removeprefix(name))]
    expected = [mean, sd, metrics[0], mean - metrics[0], low, high, 10 / 60]
    np.testing.assert_allclose(found, expected, atol=0.04)
    with (five_runs / "table1.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["setting"] == name]
    assert [(row["seed"], row["run"]) for row in rows] == [
        (str(seed), run.name) for seed, run in enumerate(runs)
    ]
    assert max(map(len, table.splitlines()[:-1])) <= 80


def test_table1_refuses_a_run_with_other_settings(five_runs: Path) -> None:
    run = five_runs / run_name(Config(epochs=20))
    settings = open_run(run).config["settings"]
    change_json(run / "config.json", settings=settings | {"gamma": 0.5})
    with pytest.raises(RunError, match=r"config\.json doesn't match the manifest"):
        study.run_table1({}, five_runs)
    write_manifest(run)
    with pytest.raises(UsageError, match=r"made with `gamma=0.5`, not 0.1"):
        study.run_table1({}, five_runs)


def test_table1_refuses_predictions_of_another_run(five_runs: Path) -> None:
    first, second = (
        five_runs / run_name(Config(**changes)) / "predictions.npz"
        for changes, _ in [*study.TABLE1.values()][:2]
    )
    first.write_bytes(second.read_bytes())
    with pytest.raises(RunError, match=r"predictions\.npz doesn't match the manifest"):
        study.run_table1({}, five_runs)


@pytest.mark.parametrize("overwrite", [False, True])
def test_table1_never_removes_files_of_others(tmp_path: Path, overwrite: bool) -> None:
    notes = tmp_path / (run_name(Config(epochs=20)) + ".incomplete") / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("years of work")
    with pytest.raises(UsageError, match="is in the way and not a run"):
        study.run_table1({}, tmp_path, overwrite)
    assert notes.read_text() == "years of work"
    assert len(list(tmp_path.iterdir())) == 1


def test_table1_finds_a_folder_in_the_way_before_it_trains(tmp_path: Path) -> None:
    (tmp_path / run_name(Config(epochs=20))).mkdir()
    with pytest.raises(UsageError, match="not a complete run"):
        study.run_table1({}, tmp_path)
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
def four_runs(tmp_path: Path, complete_run: Callable[[Config], Path]) -> Path:
    """A folder with four complete runs, one for each row of Table 3."""
    for changes, _ in study.TABLE3.values():
        complete_run(configure("tuned", data="eurosat", **changes))
    return tmp_path


def test_table3_of_four_complete_runs_fuses_the_pretrained_two(
    four_runs: Path, run_script: RunScript
) -> None:
    done = run_script("train_eurosat.py", "--table3", "--out", four_runs)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("complete already") == 4
    with (four_runs / "table3.csv").open() as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*study.TABLE3, "late fusion of the two"]
    for name in study.TABLE3:
        run = four_runs / rows[name]["run"]
        assert rows[name]["mean class accuracy"] == accuracy(run)
    fused = rows["late fusion of the two"]
    members = [four_runs / rows[name]["run"] for name in study.FUSED]
    assert fused["mean class accuracy"] == accuracy(*members)
    assert fused["study's mean class accuracy"] == "97.75"
    assert accuracy(four_runs / fused["run"]) == fused["mean class accuracy"]
    assert "(the best on validation), all images together:" in done.stdout
    lines = [line for line in done.stdout.splitlines() if str(four_runs) not in line]
    assert max(map(len, lines)) <= 80


def test_table3_finds_missing_weights_before_it_trains(
    sample_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, metrics = study.TABLE3["AlexNet, pretrained"]
    missing = changes | {"weights": str(tmp_path / "missing.npz")}
    rows = {"MobileNet": study.TABLE3["MobileNet"], "pretrained": (missing, metrics)}
    monkeypatch.setattr(study, "TABLE3", rows)
    settings = {"data": "land-sample", "data_dir": str(sample_dir), "limit": 64, "epochs": 2}
    with pytest.raises(RunError, match=r"missing\.npz"):
        study.run_table3(settings, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_table3_starts_from_files_where_they_are_named(
    four_runs: Path, complete_run: Callable[[Config], Path]
) -> None:
    file = four_runs / "conv.npz"
    file.write_text("")
    changes, _ = study.TABLE3["AlexNet, pretrained"]
    of_file = complete_run(configure("tuned", data="eurosat", **(changes | {"weights": str(file)})))
    study.run_table3({"data": "eurosat"}, four_runs, files={"alexnet": str(file)})
    with (four_runs / "table3.csv").open() as table:
        runs = {row["network"]: row["run"] for row in csv.DictReader(table)}
    assert runs["AlexNet, pretrained"] == of_file.name
    assert runs["MobileNet, pretrained"] == "eurosat_tuned_imagenet_seed0"
