"""From config to run directory, in Python and for any network on any data."""

import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
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
from tfmodels.description import initial_weights, start_number
from tfmodels.errors import RunError, UsageError
from tfmodels.experiment import run
from tfmodels.models.catalog import NETWORKS
from tfmodels.runs.contents import open_run
from tfmodels.runs.directory import RESULTS, TRAINED, is_complete
from tfmodels.safe_files import read_json
from tfmodels.training import callbacks
from tfmodels.training.state import save_state

NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    """A toy network and data set in the catalogues."""
    NETWORKS["toy"], DATASETS["toy"] = TOY_NETWORK, TOY_DATA
    yield
    del NETWORKS["toy"], DATASETS["toy"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights of the toy network."""
    path = tmp_path_factory.mktemp("weights") / "toy.keras"
    keras.utils.set_random_seed(7)
    build((8, 8, 3), 3, 8).save(path)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from Python."""
    return run(Config(data="toy", epochs=2), out=tmp_path_factory.mktemp("runs"))


def probabilities(path: Path) -> np.ndarray:
    return open_run(path).predictions()["test"].probabilities


def test_an_entry_in_each_catalogue_is_all_that_a_network_and_data_set_need(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tf_test: Any
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
    assert "data:    toy, 3 classes; images: 60 train, 30 val, 30 test\n" in err
    assert "network: toy, " in err
    assert f"run:     {path}\n" in err
    lines = [line for line in (out + err).splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    config = open_run(path).config
    assert config["dataset"]["class_names"] == list(NAMES)
    assert config["settings"]["model"] == "toy"
    assert finished.name == path.name  # the same from Python
    tf_test.assertAllEqual(probabilities(path), probabilities(finished))


def test_own_arrays_and_an_own_model(tmp_path: Path, tf_test: Any) -> None:
    test = arrays(30, 2)
    data = ImageData.from_arrays(arrays(60, 0), arrays(30, 1), test, NAMES, name="mine")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),  # as of a fully convolutional model
            layers.Rescaling(1 / 255),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, "softmax"),
        ],
        name="linear",
    )
    config = Config(epochs=6, lr=1.0, batch_size=5, limit=45)
    path = run(config, data=data, model=model, out=tmp_path)
    assert path.name == "mine_linear_limit45_epochs6_batch-size5_lr1.0_seed0"
    content = open_run(path).config
    settings = content["settings"]
    assert (settings["data"], settings["model"]) == ("mine", "linear")
    assert (settings["image_size"], settings["weights"]) == (None, None)
    assert content["dataset"]["splits"] == {"train": 45, "val": 30, "test": 30}
    expected = model.predict(test[0], verbose=0)
    tf_test.assertAllClose(probabilities(path), expected, atol=1e-6)
    assert read_json(path / "metrics.json", dict[str, Any])["test"]["accuracy"] > 0.9


def test_an_own_model_goes_on_if_it_and_the_data_are_the_same(tmp_path: Path) -> None:
    def train(activation: str = "relu", shift: int = 0, stop: bool = False) -> Path:
        images, labels = arrays(30, 0)
        shifted = images, (labels + shift) % 3
        data = ImageData.from_arrays(shifted, arrays(30, 1), arrays(30, 2), NAMES, name="mine")
        layers = keras.layers
        keras.utils.set_random_seed(0)
        hidden = [layers.Flatten(), layers.Dense(4, activation), layers.Dropout(0.5)]
        model = keras.Sequential([keras.Input((8, 8, 3)), *hidden, layers.Dense(3, "softmax")])
        with pytest.MonkeyPatch.context() as patch:
            if stop:

                def save(*arguments: Any) -> None:
                    save_state(*arguments)
                    raise KeyboardInterrupt

                patch.setattr(callbacks, "save_state", save)
            return run(Config(epochs=3), data=data, model=model, out=tmp_path)

    with pytest.raises(KeyboardInterrupt):
        train(stop=True)
    with pytest.raises(UsageError, match="mine_sequential_.* was made with structure"):
        train(activation="tanh")
    with pytest.raises(UsageError, match="was made with split checksum"):
        train(shift=1)
    continued = probabilities(train())
    shutil.rmtree(tmp_path)
    np.testing.assert_array_equal(continued, probabilities(train()))


def without_softmax() -> keras.Model:
    model = build((8, 8, 3), 3, 8)
    return keras.Model(model.input, model.get_layer("logits").output)


class Subclassed(keras.Model):
    """A model whose shapes nobody knows before it is called."""


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (build((8, 8, 3), 4, 8), {}, r"must map \(8, 8, 3\) to \(3,\)"),
        (without_softmax(), {}, "end it with a softmax activation"),
        (Subclassed(), {}, "must be a functional or sequential model"),
        (build((8, 8, 3), 3, 8), {"precision": "mixed_bfloat16"}, "`precision` is for networks by"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    tmp_path: Path, model: keras.Model, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(Config(data="toy", **changes), model=model, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_square_images_are_turned(tmp_path: Path) -> None:
    few = np.zeros((6, 8, 6, 3), np.uint8), np.arange(6) % 3
    data = ImageData.from_arrays(few, few, few, NAMES)
    with pytest.raises(UsageError, match="`views=turns` turns images, and these are 8 x 6"):
        run(Config(model="toy", views="turns"), data=data, out=tmp_path)
    assert not list(tmp_path.iterdir())


def kernel(file: Path) -> np.ndarray:
    return np.asarray(keras.models.load_model(file).get_layer("conv1").kernel)


@pytest.mark.parametrize(
    ("trainable", "changes"),
    [
        ("head", {"precision": "mixed_bfloat16", "early_stopping": 1, "class_weights": True}),
        (
            "head-then-all",
            {"optimizer": "sgd", "schedule": "cosine", "warmup_epochs": 1, "clip_norm": 1.0,
             "lr": 0.1, "augment": True, "ema": 0.9, "label_smoothing": 0.1},
        ),
    ],
)  # fmt: skip
def test_every_kind_of_training_is_repeatable(
    tmp_path: Path, weights: Path, tf_test: Any, trainable: str, changes: dict[str, Any]
) -> None:
    config = Config(data="toy", epochs=2, weights=weights, trainable=trainable, **changes)  # type: ignore[arg-type]
    first, second = (run(config, out=tmp_path, name=name) for name in ("a", "b"))
    tf_test.assertAllEqual(probabilities(first), probabilities(second))
    model = keras.models.load_model(first / "model.keras")
    predicted = model.predict(arrays(30, 2)[0], verbose=0)
    tf_test.assertAllClose(probabilities(first), predicted, atol=2e-3)
    assert keras.config.dtype_policy().name == "float32"
    assert (first / "head").is_dir() == (trainable == "head-then-all")
    if trainable == "head":
        tf_test.assertAllEqual(kernel(first / "model.keras"), kernel(weights))
    else:
        tf_test.assertAllEqual(kernel(first / "head" / "model.keras"), kernel(weights))
        tf_test.assertNotAllClose(kernel(first / "model.keras"), kernel(weights), atol=1e-4)


def test_training_further_has_another_order(weights: Path, finished: Path) -> None:
    def start(file: Path | None, model: keras.Model | None = None) -> int:
        config = Config(data="toy", weights=str(file or "none"))
        return start_number(initial_weights(config, model))

    files = [weights, weights, finished / "model.keras", finished / "best.keras"]
    starts = [start(file) for file in files]
    assert starts[0] == starts[1] != starts[2]
    assert start(None) == 0
    own = [start(None, keras.models.load_model(file)) for file in files[1:3]]
    assert own[0] != own[1]


def train(out: Path, *arguments: Any) -> int:
    """Run the command that trains the toy network."""
    settings = (
        "--data",
        "toy",
        "--model",
        "toy",
        "--batch-size",
        20,
        "--out",
        out,
        "--name",
        "run",
    )
    return cli.main(["train", *map(str, (*settings, *arguments))])


def history(run: Path) -> list[dict[str, str]]:
    """Return the rows of history.csv without the time that each took."""
    with (run / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same(run: Path, other: Path) -> None:
    """Check that weights, history, predictions and metrics are the same to the last bit."""
    assert history(run) == history(other)
    for name in ("model.keras", "best.keras"):
        ours, theirs = (keras.models.load_model(path / name).weights for path in (run, other))
        for one, another in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.numpy(), another.numpy())
    for split, found in open_run(run).predictions().items():
        expected = open_run(other).predictions()[split]
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert (run / "metrics.json").read_bytes() == (other / "metrics.json").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs by the command, that was never interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert train(out, "--epochs", 2) == 0
    return out / "run"


@pytest.fixture
def signals() -> Iterator[None]:
    """What signals do is Python's default in the test, and as before after it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # A shell without job control has its background processes, and so this one, ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_end_a_training_in_order_and_the_same_command_goes_on(
    tmp_path: Path, whole: Path, signals: None, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = f"the run so far is kept in {tmp_path / 'run'}.incomplete; the same command continues it"
    for number, unsaved, code, where in (
        (signal.SIGINT, -1.0, 130, "in epoch 1, after step 1"),  # saved after every step
        (signal.SIGTERM, 300.0, 143, "after epoch 1"),
    ):
        with pytest.MonkeyPatch.context() as patch:

            def save(*arguments: Any, number: int = number) -> None:
                save_state(*arguments)
                os.kill(os.getpid(), number)

            patch.setattr(callbacks, "LONGEST_UNSAVED", unsaved)
            patch.setattr(callbacks, "save_state", save)
            assert train(tmp_path, "--epochs", 2) == code
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1] == f"tfmodels: stopped {where}; {kept}"
        assert "saving after this step; once more to stop at once" in lines
        assert [path.name for path in tmp_path.iterdir()] == ["run.incomplete"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert train(tmp_path, "--epochs", 2) == 0
    assert "from:    epoch 2, step 1\n" in capsys.readouterr().err
    assert_same(tmp_path / "run", whole)
    assert len(open_run(tmp_path / "run").config["continued"]) == 2


def test_a_run_is_extended_by_more_epochs_and_by_nothing_else(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "--epochs", 1) == 0
    run = tmp_path / "run"
    before = (run / "manifest.json").read_bytes()
    otherwise = "choose another --name, or add --overwrite to start over"
    for arguments, fault in (
        (("--epochs", 1), f"{run} is complete"),
        (("--epochs", 2, "--lr", 0.1, "--augment"), "made with --augment False, not True; --lr 0."),
        (("--epochs", 2, "--schedule", "cosine"), "made with --schedule step, not cosine"),
        (("--epochs", 1, "--limit", 50), "made with --limit None, not 50"),
    ):
        capsys.readouterr()
        assert train(tmp_path, *arguments) == 2
        error = capsys.readouterr().err
        assert fault in error
        assert error.endswith(f": {otherwise}\n")
        assert error.count("\n") == 1
        assert (run / "manifest.json").read_bytes() == before
    assert train(tmp_path, "--epochs", 2) == 0
    assert_same(run, whole)
    assert train(tmp_path, "--epochs", 1) == 2
    assert "made with --epochs 2, not 1, and can't be shortened" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "run"]


def test_an_exploding_loss_ends_at_that_step_and_the_last_good_weights_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    growing = ("--schedule", "cosine", "--warmup-epochs", 30, "--lr", 3e4)  # a little every step
    assert train(tmp_path, "--epochs", 40, *growing) == 1
    kept = tmp_path / "run.incomplete"
    last = capsys.readouterr().err.splitlines()[-1]
    found = re.fullmatch(
        r"tfmodels: the loss became \S+e\+\d+ in epoch (\d+), step \d, with learning rate \de\d: "
        rf"lower --lr; the run so far is kept in {kept}",
        last,
    )
    assert found
    epochs = int(found[1]) - 1
    assert 1 <= epochs == len(history(kept)) < 10
    for weight in keras.models.load_model(kept / "model.keras").weights:
        assert np.isfinite(weight.numpy()).all()
    assert cli.main(["report", str(kept), "--out", str(tmp_path / "so far.html")]) == 0
    assert "it has no results yet" in (tmp_path / "so far.html").read_text()
    assert train(tmp_path / "other", "--epochs", 2, "--lr", 1e6) == 1
    assert "with learning rate 1e6: lower --lr\n" in capsys.readouterr().err
    assert not list((tmp_path / "other").iterdir())


def test_a_failure_before_the_first_epoch_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RunError("no memory")

    monkeypatch.setattr(experiment, "train_model", fail)
    with pytest.raises(RunError, match="no memory"):
        run(Config(data="toy"), out=tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())


def test_errors_in_python_speak_of_parameters(finished: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(Config(data="toy", epochs=2), out=finished.parent)
    assert "--" not in str(caught.value)
    assert "`overwrite=True`" in str(caught.value)


def test_a_run_on_jax(tmp_path: Path, weights: Path, tf_test: Any) -> None:
    pytest.importorskip("jax")
    program = f"""
from tests.toys import TOY_DATA, TOY_NETWORK
from tfmodels import configure, run
from tfmodels.data.catalog import DATASETS
from tfmodels.models.catalog import NETWORKS
NETWORKS["toy"], DATASETS["toy"] = TOY_NETWORK, TOY_DATA
config = configure(data="toy", epochs=1, weights={str(weights)!r}, trainable="head-then-all")
run(config, out={str(tmp_path)!r}, name="jax")
run(configure("instant", data="toy", batch_size=10), out={str(tmp_path)!r}, name="recipe")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert open_run(tmp_path / "jax").config["backend"] == "jax"
    model = keras.models.load_model(tmp_path / "jax" / "model.keras")
    predicted = model.predict(arrays(30, 2)[0], verbose=0)
    tf_test.assertAllClose(predicted, probabilities(tmp_path / "jax"), atol=1e-5)
    recipe = json.loads((tmp_path / "recipe" / "metrics.json").read_text())
    assert recipe["test"]["mean_class_accuracy"] > 0.8


def test_paths_may_be_path_objects(tmp_path: Path, weights: Path) -> None:
    config = Config(data=tmp_path, data_dir=tmp_path, weights=weights)  # type: ignore[arg-type]
    settings = dataclasses.asdict(config)
    assert settings["data"] == settings["data_dir"] == str(tmp_path)
    assert json.loads(json.dumps(settings))["weights"] == str(weights)
