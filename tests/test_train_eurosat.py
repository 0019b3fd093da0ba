"""Whole runs of train_eurosat.py as its users start it."""

import csv
import resource

import keras
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.test_transfer import network
from tfmodels import experiments, runs
from tfmodels.data import eurosat
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.predictions import load_predictions
from tfmodels.settings import EurosatSettings
from tfmodels.training import predict


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file of the backbone alone, as keras.applications would save it."""
    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("weights") / "backbone.weights.h5"
    mobilenetv2(image_size=32).get_layer("mobilenetv2").save_weights(path)
    return path


@pytest.fixture
def flags(sample_dir, tmp_path, monkeypatch):
    """A quick run on the sample."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return (
        *("--data", "sample", "--data-dir", sample_dir, "--limit", 64, "--epochs", 1),
        *("--image-size", 32, "--out", tmp_path / "runs", "--name", "run"),
    )


def test_the_head_alone_and_then_all(run_eurosat_script, flags, weights, sample_dir, tmp_path):
    done = run_eurosat_script(*flags, "--weights", weights, "--train", "head-then-all", "--augment")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "run"
    assert runs.is_complete(run)
    assert done.stdout.splitlines()[-1] == f"run directory: {run}"
    assert "\nSplit: random, seed 0\n" in done.stdout
    for history in (run / "history.csv", run / "head" / "history.csv"):
        with history.open() as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]
    data = eurosat.load_eurosat("sample", sample_dir, seed=0)
    with np.load(run / "predictions.npz", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["test_ids"], data.test.ids)
        probabilities = saved["test_probabilities"]
    model = keras.models.load_model(run / "model.keras")
    np.testing.assert_allclose(predict(model, data.test), probabilities, atol=1e-5)
    pretrained = mobilenetv2(image_size=32)
    pretrained.get_layer("mobilenetv2").load_weights(weights)

    def kernel(model):
        return np.array(model.get_layer("mobilenetv2").get_layer("Conv1").kernel)

    def moved(model):
        return float(abs(kernel(model) - kernel(pretrained)).max())

    assert moved(keras.models.load_model(run / "head" / "model.keras")) == 0
    assert moved(model) > 0


@pytest.mark.parametrize("train", ["all", "head"])
def test_two_runs_with_one_seed_are_the_same(sample_dir, tmp_path, monkeypatch, train):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(experiments.NETWORKS, "mobilenetv2", lambda *_: network())
    monkeypatch.setattr(experiments, "load_weights", lambda model, source: None)
    settings = EurosatSettings(
        data="sample",
        data_dir=str(sample_dir),
        limit=64,
        epochs=2,
        weights="imagenet",
        train=train,
        augment=train == "all",
    )
    predictions = []
    for name in ("first", "second"):
        experiments.run_eurosat(settings, tmp_path / name)
        splits, _ = load_predictions(tmp_path / name / "predictions.npz")
        predictions.append(splits["test"].probabilities)
    np.testing.assert_array_equal(*predictions)
    assert not (tmp_path / "first" / "head").exists()


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (("--weights", "WEIGHTS", "--model", "alexnet-bvlc", "--image-size", 67), 1, "doesn't fit"),
        (("--split", "tests"), 2, "can't be read as a list of names"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    run_eurosat_script, flags, weights, tmp_path, extra, code, words
):
    extra = [weights if word == "WEIGHTS" else word for word in extra]
    done = run_eurosat_script(*flags, *extra, cwd=ROOT)
    assert done.returncode == code, done.stderr
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").glob("*"))


def test_a_full_disk_while_features_are_computed_is_one_line(
    run_eurosat_script, flags, weights, tmp_path
):
    # A limit on the size of files fails the way a full disk does, without needing root.
    done = run_eurosat_script(
        *flags,
        *("--weights", weights, "--train", "head"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)),
    )
    assert done.returncode == 1, done.stderr
    assert "could not read or write" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "runs").glob("*"))
