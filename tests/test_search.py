import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.toys import TOY_DATA, TOY_NETWORK
from tfmodels import cli
from tfmodels.data.catalog import DATASETS
from tfmodels.errors import UsageError
from tfmodels.models.catalog import NETWORKS
from tfmodels.runs.contents import open_run
from tfmodels.search.space import STUDIES, Dimension, parse_space, to_settings

optuna = pytest.importorskip("optuna")

from tfmodels.search import search as searching  # noqa: E402
from tfmodels.search.page import write_page  # noqa: E402
from tfmodels.search.search import Search, completed, run_trials, trial_path  # noqa: E402

SETTINGS = {"data": "toy", "model": "toy", "epochs": 4, "batch_size": 10}
SPACE = parse_space(["lr=log:1e-5:1", "optimizer=adam,sgd"])


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "toy", TOY_NETWORK)
    monkeypatch.setitem(DATASETS, "toy", TOY_DATA)


def facts(study: Any) -> list[Any]:
    return [
        (trial.params, trial.state, trial.value, trial.intermediate_values)
        for trial in study.trials
    ]


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("lr=log:1e-4:1e-2", Dimension("lr", (), 1e-4, 1e-2, True)),
        ("label_smoothing=0:0.3", Dimension("label_smoothing", (), 0.0, 0.3)),
        ("batch-size=16:128", Dimension("batch_size", (), 16, 128)),
        ("batch_size=log:16:128", Dimension("batch_size", (), 16, 128, True)),
        ("augment=yes,no", Dimension("augment", (True, False))),
        ("train=all,head-then-all", Dimension("trainable", ("all", "head-then-all"))),
        ("ema=0,0.99", Dimension("ema", (0.0, 0.99))),
    ],
)
def test_dimensions_are_written_as_flags(text: str, dimension: Dimension) -> None:
    assert parse_space([text]) == [dimension]
    (found,) = parse_space([text])
    kinds = [type(value) for value in (found.low, found.high, *found.choices)]
    assert kinds == [type(v) for v in (dimension.low, dimension.high, *dimension.choices)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "nothing is searched: name settings with --space, or a --study"),
        ("--space lr", "it must be NAME=LOW:HIGH, NAME=log:LOW:HIGH or NAME=VALUE,VALUE"),
        ("--space lrr=1:2", "lrr is no setting; did you mean lr?"),
        ("--space seed=1:9", "seed can't be searched; there are augment, "),
        ("--space lr=0:0.1:log", "it must be NAME=LOW:HIGH or NAME=log:LOW:HIGH"),
        ("--space lr=log:0:0.1", "its first number must be above 0 and below its second"),
        ("--space lr=0.1:0.1", "its first number must be below its second"),
        ("--space augment=1,0", "'1' must be yes or no"),
        ("--space model=vgg:alexnet", "it must be NAME=VALUE,VALUE"),
        ("--space batch_size=1.5:3", "'1.5' must be a whole number"),
        ("--space lr=1,2 lr=3,4", "--space has lr twice"),
        ("--space lr=-1:0.1", "--space has lr=-1.0: --lr is -1.0: it must be a number above 0"),
        ("--space model=vgg,vggg", "--space has model=vggg: --model is 'vggg'"),
        ("--space lr=1,2 --lr 1", "--lr is searched already: leave it out"),
        ("--study cifar-architecture --model vgg", "--model is searched already: leave it out"),
        ("--study cifar-architecture --space model=vgg", "--model is searched already"),
        ("--study cifar-architecture --image-size 4", "it must be a whole number from 8 to 4096"),
        ("--space lr=1,2 --trials 0", "--trials is 0: it must be a whole number from 1 up"),
        ("--space lr=1,2 --seeds 1 1", "--seeds are [1, 1]: each must be there once"),
        ("--space lr=1,2 --study none", "invalid choice: 'none'"),
    ],
)
def test_wrong_calls(
    arguments: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["search", "--data", "toy", "--out", str(tmp_path / "out"), *arguments.split()]
    assert cli.main(call) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_values_that_only_go_with_some_others_are_searched_and_misfits_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["--space", "schedule=step,cosine", "warmup_epochs=0,1", "--trials", "11"]
    options = ["--data", "toy", "--model", "toy", "--epochs", "2", "--sampler", "random"]
    assert cli.main(["search", *call, *options, "--out", str(tmp_path / "s")]) == 0
    study = searching.open_study(
        Search(parse_space(call[1:3]), {"data": "toy", "model": "toy", "epochs": 2}, "random"),
        tmp_path / "s",
    )
    for trial in study.trials:
        misfit = trial.params == {"schedule": "step", "warmup_epochs": 1}
        assert (trial.state == optuna.trial.TrialState.FAIL) == misfit
    assert {trial.state.name for trial in study.trials} >= {"FAIL", "COMPLETE"}
    assert "only `schedule=cosine` warms up" in (tmp_path / "s" / "search.html").read_text()
    # The command that it prints trains the best trial again.
    command = re.search(r"with the best: tfmodels (.*)", capsys.readouterr().out)
    assert command
    assert cli.main([*shlex.split(command[1]), "--out", str(tmp_path), "--name", "again"]) == 0
    best = completed(study)[0]
    again = open_run(tmp_path / "again").metrics()["val"]["mean_class_accuracy"]
    assert again == best.value


def test_trials_are_judged_on_validation_and_bad_ones_end_early(tmp_path: Path) -> None:
    search = Search(SPACE, SETTINGS)
    study = run_trials(search, tmp_path / "s", 9)
    states = [trial.state.name for trial in study.trials]
    assert set(states) == {"COMPLETE", "PRUNED"}
    for trial in study.trials:
        path = trial_path(tmp_path / "s", trial.number)
        if trial.state.name == "COMPLETE":
            run = open_run(path)
            assert trial.value == run.metrics()["val"]["mean_class_accuracy"]
            chosen = {name: run.config["settings"][name] for name in trial.params}
            assert chosen == trial.params
        else:
            left = sorted(file.name for file in path.with_suffix(".incomplete").iterdir())
            assert left == [".tfmodels", "config.json", "history.csv"]
            epochs = len(trial.intermediate_values)
            lines = (path.with_suffix(".incomplete") / "history.csv").read_text().splitlines()
            assert len(lines) - 1 == epochs < 4
            assert trial.user_attrs["fault"] == f"ended after epoch {epochs} of 4"
    assert completed(study)[0].value == max(trial.value or 0 for trial in study.trials)
    assert facts(run_trials(search, tmp_path / "same", 9)) == facts(study)
    other = run_trials(Search(SPACE, SETTINGS | {"seed": 1}), tmp_path / "other", 1)
    assert other.trials[0].params != study.trials[0].params
    text = write_page(search, study, tmp_path / "s")
    page = (tmp_path / "s" / "search.html").read_text()
    assert page.count("<tr><td>") == 9
    assert page.count("<svg") == 1 + 2 * (states.count("COMPLETE") > 3)
    assert f"{100 * (completed(study)[0].value or 0):.2f} %" in text


def test_a_search_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(SPACE, SETTINGS, "random")
    whole = run_trials(search, tmp_path / "whole", 4)
    report, reports = searching._Reports.on_epoch_end, []

    def interrupted(self: Any, epoch: int, logs: Any = None) -> None:
        reports.append(epoch)
        if len(reports) == 6:  # in the second trial or later
            raise KeyboardInterrupt
        report(self, epoch, logs)

    monkeypatch.setattr(searching._Reports, "on_epoch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_trials(search, tmp_path / "s", 4)
    monkeypatch.undo()
    monkeypatch.setitem(NETWORKS, "toy", TOY_NETWORK)
    monkeypatch.setitem(DATASETS, "toy", TOY_DATA)
    study = run_trials(search, tmp_path / "s", 4)
    # The interrupted epoch's report is lost: it isn't trained again.
    assert [trial.params for trial in study.trials] == [trial.params for trial in whole.trials]
    assert [trial.value for trial in completed(study)] == [t.value for t in completed(whole)]


PROGRAM = """
import sys
from pathlib import Path
from tests.toys import TOY_DATA, TOY_NETWORK
from tfmodels.data.catalog import DATASETS
from tfmodels.models.catalog import NETWORKS
NETWORKS["toy"], DATASETS["toy"] = TOY_NETWORK, TOY_DATA
from tests.test_search import SETTINGS, SPACE
from tfmodels.search.search import Search, run_trials
run_trials(Search(SPACE, SETTINGS, "random"), Path(sys.argv[1]), 6)
"""


def test_two_processes_share_a_search_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "s")]
    killed = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert killed.stderr
    for line in killed.stderr:
        if line.startswith("epoch 1/4"):
            killed.kill()
            break
    killed.wait()
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    study = searching.open_study(Search(SPACE, SETTINGS, "random"), tmp_path / "s")
    assert len(study.trials) in (6, 7)  # both may have begun a last one
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}
    for trial in completed(study):
        assert open_run(trial_path(tmp_path / "s", trial.number)).config["settings"]["seed"] == 0


def test_a_loss_that_explodes_ends_its_trial_alone(tmp_path: Path) -> None:
    space = [Dimension("lr", (1e30, 1e-3))]
    study = run_trials(Search(space, SETTINGS | {"optimizer": "sgd"}, "random"), tmp_path / "s", 4)
    states = {trial.params["lr"]: trial.state.name for trial in study.trials}
    assert states == {1e30: "PRUNED", 1e-3: "COMPLETE"}
    assert "lower `lr`" in next(
        trial.user_attrs["fault"] for trial in study.trials if trial.params["lr"] == 1e30
    )


def test_another_search_in_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else than a search"):
        searching.open_study(Search(SPACE, SETTINGS), tmp_path / "s")
    (tmp_path / "s" / "notes.txt").unlink()
    searching.open_study(Search(SPACE, SETTINGS), tmp_path / "s")
    assert json.loads((tmp_path / "s" / "search.json").read_text())["sampler"] == "tpe"
    with pytest.raises(UsageError, match="is a search of other settings: choose another `out`"):
        searching.open_study(Search(SPACE, SETTINGS | {"epochs": 2}), tmp_path / "s")


def test_the_study_searches_the_layers_of_its_cnn() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        values = {d.name: d.suggest(trial) for d in STUDIES["cifar-architecture"]}
        settings = to_settings(values | {"lr": 0.001})
        assert settings.keys() == {"model", "lr"}
        found = re.match(r"cnn-(\d)conv-(\d)pool-", settings["model"])
        assert found
        assert int(found[1]) == values["pooling"] * values["convolutions_per_pooling"]
        study.tell(trial, 0.0)
