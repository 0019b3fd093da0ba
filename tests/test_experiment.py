"""From config to run directory, in Python and for any network on any data."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.toys import TOY_DATA, TOY_NETWORK, arrays, build
from tfmodels import cli, experiment
from tfmodels.config import Config
from tfmodels.data.catalog import DATASETS
from tfmodels.data.images import ImageData
from tfmodels.errors import RunError, UsageError
from tfmodels.experiment import run
from tfmodels.models.catalog import NETWORKS
from tfmodels.runs.directory import RESULTS, TRAINED, is_complete, read_json
from tfmodels.runs.predictions import load_predictions


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A toy network and data set in the catalogues."""
    monkeypatch.setitem(NETWORKS, "toy", TOY_NETWORK)
    monkeypatch.setitem(DATASETS, "toy", TOY_DATA)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A file of weights of the toy network."""
    keras.utils.set_random_seed(7)
    build((8, 8, 3), 3, 8).save(tmp_path / "toy.keras")
    return str(tmp_path / "toy.keras")


def probabilities(path: Path) -> np.ndarray:
    splits, _ = load_predictions(path / "predictions.npz")
    return splits["test"].probabilities


def test_an_entry_in_each_catalogue_is_all_that_a_network_and_data_set_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "--data", "toy", "--model", "toy", "--epochs", "2", "--out", str(tmp_path)]
    code = cli.main(line)
    out, err = capsys.readouterr()
    assert code == 0, err
    path = tmp_path / "toy_toy_epochs2_seed0"
    assert is_complete(path)
    assert all((path / file).is_file() for file in RESULTS + TRAINED)
    assert f"report: {path / 'report.html'}" in out
    assert "mean class accuracy: " in out
    assert "data:    toy 1, 3 classes; images: 60 train, 30 val, 30 test\n" in err
    assert "network: toy, " in err
    assert f"run:     {path}\n" in err
    lines = [line for line in (out + err).splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    config = read_json(path / "config.json")
    assert config["dataset"]["class_names"] == ["red", "green", "blue"]
    assert config["settings"]["model"] == "toy"


def test_the_same_from_python(tmp_path: Path, tf_test: Any) -> None:
    config = Config(data="toy", epochs=2)
    first = run(config, out=tmp_path)
    second = run(config, out=tmp_path, name="again")
    assert (first.name, second.name) == ("toy_toy_epochs2_seed0", "again")
    tf_test.assertAllEqual(probabilities(first), probabilities(second))
    other = run(dataclasses.replace(config, seed=1), out=tmp_path)
    tf_test.assertNotAllEqual(probabilities(first), probabilities(other))


def test_own_arrays_and_an_own_model(tmp_path: Path, tf_test: Any) -> None:
    names = ("red", "green", "blue")
    test = arrays(30, 2)
    data = ImageData.from_arrays(arrays(60, 0), arrays(30, 1), test, names, name="mine")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, "softmax"),
        ],
        name="linear",
    )
    config = Config(epochs=30, lr=0.3, batch_size=15)
    path = run(config, data=data, model=model, out=tmp_path)
    assert path.name == "mine_linear_epochs30_batch-size15_lr0.3_seed0"
    settings = read_json(path / "config.json")["settings"]
    assert (settings["data"], settings["model"]) == ("mine", "linear")
    expected = model.predict(test[0], verbose=0)
    tf_test.assertAllClose(probabilities(path), expected, atol=1e-6)
    assert read_json(path / "metrics.json")["test"]["accuracy"] > 0.9


def test_a_model_that_does_not_fit_the_data_is_refused(tmp_path: Path) -> None:
    model = build((8, 8, 3), 4, 8)
    with pytest.raises(UsageError, match=r"must map \(8, 8, 3\) to \(3,\)"):
        run(Config(data="toy"), model=model, out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("trainable", "changes"),
    [
        ("all", {"optimizer": "sgd", "schedule": "cosine", "warmup_epochs": 1, "clip_norm": 1.0}),
        ("head", {"precision": "mixed_bfloat16", "early_stopping": 1}),
        ("head-then-all", {"ema": 0.9, "label_smoothing": 0.1, "class_weights": True}),
    ],
)
def test_every_kind_of_training_is_repeatable(
    tmp_path: Path, weights: str, tf_test: Any, trainable: str, changes: dict[str, Any]
) -> None:
    config = Config(
        data="toy", epochs=2, weights=weights, trainable=trainable,
        augment=trainable != "head", **changes,
    )  # fmt: skip
    first, second = (run(config, out=tmp_path, name=name) for name in ("a", "b"))
    tf_test.assertAllEqual(probabilities(first), probabilities(second))
    model = keras.models.load_model(first / "model.keras")
    images = arrays(30, 2)[0]
    tf_test.assertAllClose(probabilities(first), model.predict(images, verbose=0), atol=2e-3)
    assert (first / "head").is_dir() == (trainable == "head-then-all")
    assert keras.config.dtype_policy().name == "float32"


def test_the_head_alone_and_then_all(tmp_path: Path, weights: str, tf_test: Any) -> None:
    config = Config(data="toy", epochs=2, weights=weights, trainable="head-then-all")
    path = run(config, out=tmp_path)

    def kernel(file: Path) -> np.ndarray:
        return np.asarray(keras.models.load_model(file).get_layer("conv1").kernel)

    tf_test.assertAllEqual(kernel(path / "head" / "model.keras"), kernel(Path(weights)))
    tf_test.assertNotAllClose(kernel(path / "model.keras"), kernel(Path(weights)), atol=1e-4)


def test_training_further_from_a_run_has_another_order(
    tmp_path: Path, tf_test: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfmodels.data import pipeline

    seeds: list[tuple[int, ...]] = []
    original = pipeline.epoch_order

    def epoch_order(n: int, seed: tuple[int, ...], epoch: int) -> np.ndarray:
        seeds.append((*seed, epoch))
        return original(n, seed, epoch)

    monkeypatch.setattr(pipeline, "epoch_order", epoch_order)
    first = run(Config(data="toy", epochs=1), out=tmp_path, name="first")
    second = Config(data="toy", epochs=1, weights=str(first / "model.keras"))
    run(second, out=tmp_path, name="second")
    run(second, out=tmp_path, name="third")
    assert len(seeds) == 3
    assert seeds[0] != seeds[1] == seeds[2]


def test_a_failure_before_the_first_epoch_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RunError("no memory")

    monkeypatch.setattr(experiment, "train", fail)
    with pytest.raises(RunError, match="no memory"):
        run(Config(data="toy"), out=tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())


def test_errors_in_python_speak_of_parameters(tmp_path: Path) -> None:
    run(Config(data="toy", epochs=1), out=tmp_path, name="x")
    with pytest.raises(UsageError) as caught:
        run(Config(data="toy", epochs=1), out=tmp_path, name="x")
    assert "--" not in str(caught.value)
    assert "`overwrite=True`" in str(caught.value)


def test_a_run_on_jax(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    program = f"""
import json
from tests.toys import TOY_DATA, TOY_NETWORK
from tfmodels import Config, configure, run
from tfmodels.data.catalog import DATASETS
from tfmodels.models.catalog import NETWORKS
NETWORKS["toy"], DATASETS["toy"] = TOY_NETWORK, TOY_DATA
first = run(configure(data="toy", epochs=2), out={str(tmp_path)!r}, name="all")
head = configure(data="toy", epochs=2, weights=str(first / "model.keras"), trainable="head")
run(head, out={str(tmp_path)!r}, name="head")
"""
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("all", "head"):
        assert json.loads((tmp_path / name / "config.json").read_text())["backend"] == "jax"
        model = keras.models.load_model(tmp_path / name / "model.keras")
        predicted = model.predict(arrays(30, 2)[0], verbose=0)
        np.testing.assert_allclose(predicted, probabilities(tmp_path / name), atol=1e-5)
