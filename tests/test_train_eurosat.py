"""Whole runs of train_eurosat.py as its users start it."""

import resource
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.conftest import RunScript
from tfmodels import cli
from tfmodels.data.images import load_data
from tfmodels.models.catalog import build
from tfmodels.recipes import configure
from tfmodels.runs.contents import open_run
from tfmodels.runs.directory import is_complete
from tfmodels.training.fit import predict


def mobilenetv2() -> keras.Model:
    return build("mobilenetv2", (64, 64, 3), 10, 32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the backbone alone, as keras.applications would save it."""
    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("weights") / "backbone.weights.h5"
    mobilenetv2().get_layer("mobilenetv2").save_weights(path)
    return path


@pytest.fixture
def flags(sample_dir: Path, tmp_path: Path) -> tuple[Any, ...]:
    """A quick run on the sample."""
    return (
        *("--data", "sample", "--data-dir", sample_dir, "--limit", 64, "--epochs", 2),
        *("--image-size", 32, "--out", tmp_path / "runs", "--name", "run"),
    )


def test_a_head_on_features_computed_once(
    run_script: RunScript, flags: tuple[Any, ...], weights: Path, sample_dir: Path,
    tmp_path: Path, tf_test: Any,
) -> None:  # fmt: skip
    done = run_script("train_eurosat.py", *flags, "--weights", weights, "--train", "head")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "run"
    assert is_complete(run)
    assert done.stdout.splitlines()[-1] == f"report: {run / 'report.html'}"
    assert "\nSplit: random, seed 0\n" in done.stdout
    data = load_data(configure(data="land-sample", data_dir=str(sample_dir), limit=64))
    with np.load(run / "predictions.npz", allow_pickle=False) as saved:
        tf_test.assertAllEqual(saved["test_ids"], data.test.ids)
        probabilities = saved["test_probabilities"]
    model = keras.models.load_model(run / "model.keras")
    tf_test.assertAllClose(predict(model, data.test), probabilities, atol=1e-5)
    pretrained = mobilenetv2().get_layer("mobilenetv2")
    pretrained.load_weights(weights)
    ours = model.get_layer("mobilenetv2").get_weights()
    for mine, theirs in zip(ours, pretrained.get_weights(), strict=True):
        tf_test.assertAllEqual(mine, theirs)
    missed = data.test.ids[probabilities.argmax(axis=1) != data.test.labels]
    assert list(open_run(run).images("mistakes.npz")) == missed.tolist()
    shown = data.test.ids[open_run(run).predictions()["test"].mistakes()[:24]]
    assert list(open_run(run).images("grad_cam.npz")) == shown.tolist()


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (("--weights", "WEIGHTS", "--model", "alexnet-bvlc", "--image-size", 67), 1, "fit"),
        (("--split", "tests"), 2, "can't be read as a list of names"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    flags: tuple[Any, ...], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    extra: tuple[Any, ...], code: int, words: str,
) -> None:  # fmt: skip
    extra = tuple(weights if word == "WEIGHTS" else word for word in extra)
    assert cli.train_eurosat([str(flag) for flag in (*flags, *extra)]) == code
    error = capsys.readouterr().err
    assert words in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not list((tmp_path / "runs").glob("*"))


def test_a_full_disk_while_features_are_computed_is_one_line(
    run_script: RunScript, flags: tuple[Any, ...], weights: Path, tmp_path: Path, land_data: Any
) -> None:
    # A limit on the size of files fails the way a full disk does, without needing root.
    done = run_script(
        "train_eurosat.py", *flags, "--weights", weights, "--train", "head", "--seed", 5,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "could not read or write" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "runs").glob("*"))
