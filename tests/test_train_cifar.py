"""Whole runs of train_cifar.py as its users start it."""

import csv
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from tests.conftest import ROOT, RunScript
from tfmodels import cli
from tfmodels.data.images import load_data
from tfmodels.recipes import configure
from tfmodels.runs.directory import is_complete

FLAGS = ("--data", "sample", "--limit", 160, "--epochs", 3, "--augment", "--deterministic")
Finished = tuple["subprocess.CompletedProcess[str]", Path]


@pytest.fixture(scope="module")
def finished(
    sample_dir: Path, run_script: RunScript, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """One run of three epochs on part of the sample: the process and the run directory."""
    out = tmp_path_factory.mktemp("runs")
    done = run_script("train_cifar.py", *FLAGS, "--data-dir", sample_dir, "--out", out)
    assert done.returncode == 0, done.stderr
    index, run = sorted(out.iterdir())
    assert index.name == "index.html"
    return done, run


def test_it_prints_the_test_metrics_and_where_the_report_is(finished: Finished) -> None:
    done, run = finished
    metrics = json.loads((run / "metrics.json").read_text())["test"]
    lines = done.stdout.splitlines()
    assert f"mean class accuracy: {100 * metrics['mean_class_accuracy']:.2f} %" in lines
    assert lines[-1] == f"report: {run / 'report.html'}"
    assert "Most confused: " in done.stdout
    assert max(len(line) for line in lines if str(run) not in line) <= 80


def test_it_says_what_it_does_and_how_long_it_takes(finished: Finished) -> None:
    done, run = finished
    lines = [line for line in done.stderr.splitlines() if not line.startswith("preparing")]
    words = [line.split(":")[0] for line in lines if not line.startswith(" ")]
    assert words[:6] == ["data", "split", "network", "compute", "device", "run"]
    assert lines[0].startswith("data:    sample 1.0.0, 10 classes; images: 160 train, 160 val, 160")
    assert [line[:9] for line in lines if line.startswith("epoch")] == [
        "epoch 1/3", "epoch 2/3", "epoch 3/3",
    ]  # fmt: skip
    assert max(len(line) for line in lines if str(run) not in line) <= 80


def test_every_file_of_the_contract_is_there(finished: Finished) -> None:
    run = finished[1]
    assert is_complete(run)
    assert list(run.rglob("*tfevents*"))
    for name in ("loss_curve", "confusion_matrix", "architecture"):
        assert (run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.rglob("*part*"))


def test_config(finished: Finished) -> None:
    config = json.loads((finished[1] / "config.json").read_text())
    settings = config["settings"]
    assert (settings["epochs"], settings["lr"], settings["limit"]) == (3, 0.001, 160)
    assert (settings["data"], settings["model"], config["seed"]) == ("sample", "vgg", 0)
    dataset = config["dataset"]
    assert (dataset["name"], dataset["version"]) == ("sample", "1.0.0")
    assert dataset["splits"] == {"train": 160, "val": 160, "test": 160}
    assert config["versions"]["keras"] == keras.__version__
    assert config["hardware"]["cores"] >= 1
    assert config["started"] < config["ended"]
    assert len(config["git_commit"].removesuffix("-dirty")) >= 7


def rows(run: Path) -> list[list[str]]:
    """Return the rows of history.csv."""
    with (run / "history.csv").open() as file:
        return list(csv.reader(file))


def test_history(finished: Finished) -> None:
    header, *epochs = rows(finished[1])
    assert header == ["epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert [row[0] for row in epochs] == ["1", "2", "3"]


def test_predictions_metrics_and_model_agree(
    finished: Finished, sample_dir: Path, tf_test: Any
) -> None:
    run = finished[1]
    data = load_data(configure(data="sample", data_dir=str(sample_dir), limit=160))
    model = keras.models.load_model(run / "model.keras")
    metrics = json.loads((run / "metrics.json").read_text())
    with np.load(run / "predictions.npz", allow_pickle=False) as saved:
        assert tuple(saved["class_names"]) == data.class_names
        for name, split in (("val", data.val), ("test", data.test)):
            ids, labels = saved[f"{name}_ids"], saved[f"{name}_labels"]
            probabilities = saved[f"{name}_probabilities"]
            tf_test.assertAllEqual(ids, split.ids)
            tf_test.assertAllEqual(labels, split.labels)
            assert probabilities.dtype == np.float32
            images = split.images[np.arange(len(split))]
            tf_test.assertAllClose(model.predict(images, verbose=0), probabilities, atol=1e-6)
            predicted = probabilities.argmax(axis=1)
            assert metrics[name]["confusion_matrix"] == confusion_matrix(labels, predicted).tolist()
            assert metrics[name]["mean_class_accuracy"] == pytest.approx(
                balanced_accuracy_score(labels, predicted)
            )


def test_an_existing_run_is_refused_and_unharmed(
    finished: Finished, run_script: RunScript, sample_dir: Path
) -> None:
    run = finished[1]
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    done = run_script("train_cifar.py", *FLAGS, "--data-dir", sample_dir, "--out", run.parent)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--overwrite" in done.stderr
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before


def test_a_kept_run_survives_a_call_that_fails(
    sample_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "run.incomplete" / "history.csv"
    kept.parent.mkdir()
    kept.write_text("epoch\n1\n")
    (kept.parent / ".tfmodels").touch()
    flags = ("--data", "sample", "--data-dir", sample_dir, "--out", tmp_path, "--name", "run")
    code = cli.train_cifar([*map(str, flags), "--limit", "9999", "--overwrite"])
    assert code == 2
    assert "py: --limit is 9999" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["run.incomplete"]
    assert kept.exists()


def test_a_full_disk_is_one_line_and_keeps_what_was_whole(
    run_script: RunScript, sample_dir: Path, tmp_path: Path, sample_data: Any
) -> None:
    # A limit on the size of files fails the way a full disk does, without needing root. The
    # decoded images were kept before (by sample_data), so it is the run's own files that fail.
    done = run_script(
        "train_cifar.py", "--data", "sample", "--data-dir", sample_dir, "--limit", 64,
        "--epochs", 1, "--out", tmp_path, "--name", "full",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "could not read or write" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []  # it failed before there was a state to go on from


def stop_after(epoch: int, number: int, sample_dir: Path, out: Path) -> tuple[int, list[str]]:
    """Run the command and send it a signal after an epoch; returns exit code and what it said."""
    flags = [*FLAGS, "--data-dir", sample_dir, "--out", out]
    process = subprocess.Popen(
        [sys.executable, "train_cifar.py", *map(str, flags)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has what it starts in the background ignore Ctrl-C, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stderr
    lines = []
    try:
        for line in process.stderr:
            lines.append(line)
            if line.startswith(f"epoch {epoch}/"):
                process.send_signal(number)
        return process.wait(timeout=60), lines
    finally:
        process.kill()


def test_a_run_that_is_killed_and_stopped_ends_as_one_that_was_not(
    finished: Finished, run_script: RunScript, sample_dir: Path, tmp_path: Path, tf_test: Any
) -> None:
    whole = finished[1]
    kept = tmp_path / f"{whole.name}.incomplete"
    code, _ = stop_after(1, signal.SIGKILL, sample_dir, tmp_path)
    assert code == -signal.SIGKILL
    code, lines = stop_after(2, signal.SIGINT, sample_dir, tmp_path)
    assert code == 130
    assert lines[-1].startswith("train_cifar.py: stopped ")
    assert lines[-1].endswith(
        f"; the run so far is kept in {kept}; the same command continues it\n"
    )
    assert any(line.startswith("from:    epoch 2, step ") for line in lines)
    assert not any("Traceback" in line for line in lines)
    done = run_script("train_cifar.py", *FLAGS, "--data-dir", sample_dir, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / whole.name
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["index.html", run.name]
    assert done.stdout.replace(str(tmp_path), str(whole.parent)) == finished[0].stdout
    for ours, theirs in zip(rows(run), rows(whole), strict=True):
        assert ours[:-1] == theirs[:-1]  # all but the time it took
    with np.load(run / "predictions.npz") as ours, np.load(whole / "predictions.npz") as theirs:
        for name in theirs:
            tf_test.assertAllEqual(ours[name], theirs[name])
    models = [keras.models.load_model(path / "model.keras") for path in (run, whole)]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        tf_test.assertAllEqual(one, other)
