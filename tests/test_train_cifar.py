"""Whole runs of train_cifar.py as its users start it."""

import csv
import json
import resource
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from tests.conftest import ROOT
from tfmodels import runs
from tfmodels.data import loading


@pytest.fixture(scope="module")
def finished(sample_dir, tmp_path_factory):
    """One run of three epochs on part of the sample: the process and the run directory."""
    out = tmp_path_factory.mktemp("runs")
    command = f"train_cifar.py --data sample --data-dir {sample_dir} --limit 640 --epochs 3"
    done = subprocess.run(
        [sys.executable, *command.split(), "--out", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (run,) = out.iterdir()
    return done, run


def test_it_prints_a_row_of_figures_and_the_run_directory(finished):
    done, run = finished
    header, rule, row, path = done.stdout.splitlines()[-4:]
    assert header.split("|")[2].strip() == "mean class accuracy"
    assert set(rule) <= {"|", "-"}
    metrics = json.loads((run / "metrics.json").read_text())
    assert row.split("|")[2].strip() == f"{100 * metrics['test']['mean_class_accuracy']:.2f}"
    assert path == f"run directory: {run}"
    assert "Most confused: " in done.stdout
    assert "3/3" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_file_of_the_contract_is_there(finished):
    run = finished[1]
    assert runs.is_complete(run)
    assert list(run.rglob("*tfevents*"))
    for name in ("loss_curve", "confusion_matrix", "architecture"):
        assert (run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.rglob("*part*"))


def test_config(finished, sample_dir):
    config = json.loads((finished[1] / "config.json").read_text())
    assert config["settings"]["epochs"] == 3
    assert config["settings"]["lr"] == 0.001
    assert config["seed"] == 0
    dataset = config["dataset"]
    assert (dataset["name"], dataset["version"]) == ("sample", "1.0.0")
    assert dataset["splits"] == {"train": 640, "val": 500, "test": 1000}
    assert config["versions"]["keras"] == keras.__version__
    assert config["hardware"]["cores"] >= 1
    assert config["started"] < config["ended"]


def test_history(finished):
    with (finished[1] / "history.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]


def test_predictions_metrics_and_model_agree(finished, sample_dir):
    run = finished[1]
    data = loading.load_data("sample", sample_dir, seed=0)
    model = keras.models.load_model(run / "model.keras")
    metrics = json.loads((run / "metrics.json").read_text())
    with np.load(run / "predictions.npz", allow_pickle=False) as saved:
        assert tuple(saved["class_names"]) == data.class_names
        for name, split in (("val", data.val), ("test", data.test)):
            ids, labels = saved[f"{name}_ids"], saved[f"{name}_labels"]
            probabilities = saved[f"{name}_probabilities"]
            np.testing.assert_array_equal(ids, split.ids)
            np.testing.assert_array_equal(labels, split.labels)
            assert probabilities.dtype == np.float32
            images = np.concatenate([images for images, _ in split.dataset.batch(1000)])
            np.testing.assert_allclose(model.predict(images, verbose=0), probabilities, atol=1e-6)
            predicted = probabilities.argmax(axis=1)
            assert metrics[name]["confusion_matrix"] == confusion_matrix(labels, predicted).tolist()
            assert metrics[name]["mean_class_accuracy"] == pytest.approx(
                balanced_accuracy_score(labels, predicted)
            )


def test_an_existing_run_is_refused_and_unharmed(finished, run_cifar_script, sample_dir):
    run = finished[1]
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    done = run_cifar_script(
        *("--data", "sample", "--data-dir", sample_dir, "--limit", 640, "--epochs", 3),
        *("--out", run.parent),
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--overwrite" in done.stderr
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before


def test_a_kept_run_survives_a_call_that_fails(run_cifar_script, sample_dir, tmp_path):
    kept = tmp_path / "run.incomplete" / "history.csv"
    kept.parent.mkdir()
    kept.write_text("epoch\n1\n")
    flags = ("--data", "sample", "--data-dir", sample_dir, "--out", tmp_path, "--name", "run")
    done = run_cifar_script(*flags, "--limit", 9999, "--overwrite")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("train_cifar.py: --limit is 9999")
    assert [path.name for path in tmp_path.iterdir()] == ["run.incomplete"]
    assert kept.exists()


def test_an_empty_name_is_refused(run_cifar_script):
    done = run_cifar_script("--name", "")
    assert done.returncode == 2
    assert "--name is ''" in done.stderr


def test_the_same_command_gives_the_same_predictions(run_cifar_script, sample_dir, tmp_path):
    flags = ("--augment", "--deterministic", "--no-step-decay", "--limit", 64, "--epochs", 2)
    predictions = []
    for out in ("first", "second"):
        done = run_cifar_script(
            *("--data", "sample", "--data-dir", sample_dir, *flags),
            *("--out", tmp_path / out, "--name", "run"),
        )
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / out / "run" / "predictions.npz") as arrays:
            predictions.append(arrays["test_probabilities"])
    np.testing.assert_array_equal(*predictions)


def test_a_full_disk_is_one_line_and_keeps_what_was_whole(run_cifar_script, sample_dir, tmp_path):
    # A limit on the size of files fails the way a full disk does, without needing root.
    done = run_cifar_script(
        *("--data", "sample", "--data-dir", sample_dir, "--limit", 64, "--epochs", 1),
        *("--out", tmp_path, "--name", "full"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "could not read or write" in done.stderr.splitlines()[-1]
    assert "full.incomplete" in done.stderr.splitlines()[-1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["full.incomplete"]


def test_ctrl_c_keeps_the_run_so_far_and_says_so(sample_dir, tmp_path):
    command = f"train_cifar.py --data sample --data-dir {sample_dir} --limit 320 --epochs 500"
    process = subprocess.Popen(
        [sys.executable, *command.split(), "--out", tmp_path, "--name", "run"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has what it starts in the background ignore Ctrl-C, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    history = tmp_path / "run.incomplete" / "history.csv"
    deadline = time.monotonic() + 120
    while not history.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    last = stderr.splitlines()[-1]
    assert last.endswith(f"interrupted; the run so far is kept in {history.parent}")
    assert "Traceback" not in stderr
    assert history.exists()
    assert not (tmp_path / "run").exists()
