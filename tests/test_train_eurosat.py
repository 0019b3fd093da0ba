"""Whole runs of train_eurosat.py as its users start it."""

import csv
import dataclasses
import resource

import keras
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.test_transfer import network
from tfmodels import experiments, runs
from tfmodels.data import eurosat
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.runs.predictions import load_mistakes, load_predictions
from tfmodels.config import EurosatSettings
from tfmodels.training.fit import predict


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
        *("--data", "sample", "--data-dir", sample_dir, "--limit", 64, "--epochs", 2),
        *("--image-size", 32, "--out", tmp_path / "runs", "--name", "run"),
    )


def test_a_head_on_features_computed_once(run_eurosat_script, flags, weights, sample_dir, tmp_path):
    done = run_eurosat_script(*flags, "--weights", weights, "--train", "head")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "run"
    assert runs.is_complete(run)
    assert done.stdout.splitlines()[-1] == f"run directory: {run}"
    assert "\nSplit: random, seed 0\n" in done.stdout
    assert epochs_of(run) == ["1", "2"]
    data = eurosat.load_eurosat("sample", sample_dir, seed=0)
    with np.load(run / "predictions.npz", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["test_ids"], data.test.ids)
        probabilities = saved["test_probabilities"]
    model = keras.models.load_model(run / "model.keras")
    np.testing.assert_allclose(predict(model, data.test), probabilities, atol=1e-5)
    pretrained = mobilenetv2(image_size=32).get_layer("mobilenetv2")
    pretrained.load_weights(weights)
    for ours, theirs in zip(
        model.get_layer("mobilenetv2").get_weights(), pretrained.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    missed = data.test.ids[probabilities.argmax(axis=1) != data.test.labels]
    assert list(load_mistakes(run / "mistakes.npz")) == missed.tolist()


def epochs_of(run):
    with (run / "history.csv").open() as file:
        return [row["epoch"] for row in csv.DictReader(file)]


@pytest.fixture
def small_network(tmp_path, monkeypatch):
    """A small network in the place of MobileNetV2, with its weights from nowhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(experiments.NETWORKS, "mobilenetv2", lambda *_: network())
    monkeypatch.setattr(experiments, "load_weights", lambda model, source: None)


@pytest.fixture
def settings(sample_dir):
    return EurosatSettings(
        data="sample", data_dir=str(sample_dir), limit=64, epochs=2, weights="imagenet"
    )


def test_the_head_alone_and_then_all(small_network, settings, tmp_path):
    settings = dataclasses.replace(settings, train="head-then-all", augment=True)
    experiments.run_eurosat(settings, tmp_path / "run")

    def kernel(model):
        return np.array(model.get_layer("conv1").kernel)

    start = kernel(network())
    after_head, after_all = (
        kernel(keras.models.load_model(tmp_path / part / "model.keras"))
        for part in ("run/head", "run")
    )
    np.testing.assert_array_equal(after_head, start)
    assert abs(after_all - start).max() > 1e-4
    assert epochs_of(tmp_path / "run" / "head") == epochs_of(tmp_path / "run") == ["1", "2"]


@pytest.mark.parametrize("train", ["all", "head"])
def test_two_runs_with_one_seed_are_the_same(small_network, settings, tmp_path, train):
    settings = dataclasses.replace(settings, train=train, augment=train == "all")
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
