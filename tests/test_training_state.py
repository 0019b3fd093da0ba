"""A training that was interrupted ends as one that wasn't."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.toys import TOY_NETWORK, arrays, build
from tfmodels.config import Config
from tfmodels.data.augmentation import crop_and_flip
from tfmodels.data.images import ImageData
from tfmodels.errors import RunError
from tfmodels.models.catalog import NETWORKS
from tfmodels.recipes import RECIPES
from tfmodels.runs.directory import STATE
from tfmodels.safe_files import read_arrays, write_arrays
from tfmodels.training import callbacks
from tfmodels.training.fit import train_model
from tfmodels.training.state import POSITION, State, read_state, restore, save_state

CASES: dict[str, dict[str, Any]] = {
    "average, early stopping": {"ema": 0.9, "early_stopping": 1, "lr": 0.05, "epochs": 6},
    "cosine, augmented": {"schedule": "cosine", "warmup_epochs": 1, "augment": True}
    | {"label_smoothing": 0.1, "class_weights": True, "clip_norm": 0.1},
    "adamw, float16": {"optimizer": "adamw", "precision": "mixed_float16", "ema": 0.5},
    "recipe": RECIPES["instant"]({}) | {"model": "toy", "batch_size": 25, "epochs": 3},
    "head-then-all": {"trainable": "head-then-all", "weights": "w.keras", "augment": True},
}


class StoppedError(Exception):
    """The process ended."""


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    NETWORKS["toy"] = TOY_NETWORK
    yield
    del NETWORKS["toy"]


@pytest.fixture(scope="module")
def data() -> ImageData:
    names = ("red", "green", "blue")
    return ImageData.from_arrays(
        arrays(60, 0), arrays(30, 1), arrays(30, 2), names, augment=crop_and_flip
    )


def train(config: Config, data: ImageData, directory: Path) -> list[np.ndarray]:
    """Train a new network of the same start in a directory, and return all its variables."""
    directory.mkdir(exist_ok=True)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(config.precision)
    try:
        model = build((8, 8, 3), 3, 8)
        train_model(model, data, config, directory)
        return [np.array(variable) for variable in model.variables]
    finally:
        keras.config.set_dtype_policy("float32")


def history(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def interrupt_after(save: int, patch: pytest.MonkeyPatch) -> None:
    """End the training when its state was saved so often, as it is after every step."""
    saved = []

    def save_and_stop(*args: Any) -> None:
        save_state(*args)
        saved.append(args)
        if len(saved) == save:
            raise StoppedError

    patch.setattr(callbacks, "LONGEST_UNSAVED", -1.0)
    patch.setattr(callbacks, "save_state", save_and_stop)


@pytest.mark.parametrize("case", CASES)
def test_it_ends_as_if_it_had_not_been_interrupted(
    case: str, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 25,
        "lr": 0.01,
        "step_size": 2,
        "model": "toy",
    }
    config = Config(**(settings | CASES[case]))
    expected = train(config, data, tmp_path / "whole")
    directory = tmp_path / "parts"
    for save in (2, 3, 4):  # in the first and in the second epoch, and after the third
        with monkeypatch.context() as patch:
            interrupt_after(save, patch)
            with pytest.raises(StoppedError):
                train(config, data, directory)
    found = train(config, data, directory)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    whole, parts = (read_arrays(tmp_path / name / STATE, 10**7) for name in ("whole", "parts"))
    for name in whole.keys() - {POSITION}:  # the optimizer's, too
        np.testing.assert_array_equal(parts[name], whole[name], strict=True)
    for path in (tmp_path / "whole").rglob("history.csv"):
        assert history(directory / path.relative_to(tmp_path / "whole")) == history(path)


def test_a_finished_training_goes_on_to_more_epochs(data: ImageData, tmp_path: Path) -> None:
    expected = train(Config(model="toy", epochs=4, step_size=3), data, tmp_path / "four")
    train(Config(model="toy", epochs=2, step_size=3), data, tmp_path / "two")
    found = train(Config(model="toy", epochs=4, step_size=3), data, tmp_path / "two")
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(history(tmp_path / "two" / "history.csv")) == 4


def test_a_saving_that_takes_long_is_not_done_after_each_epoch(
    data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(model="toy", epochs=4)
    expected = train(config, data, tmp_path / "often")
    saved = []

    def save_slowly(directory: Path, state: State, *args: Any) -> None:
        saved.append(state.epoch)
        time.sleep(0.2)
        save_state(directory, state, *args)

    monkeypatch.setattr(callbacks, "LONG_SAVING", 0.1)
    monkeypatch.setattr(callbacks, "save_state", save_slowly)
    for ours, theirs in zip(train(config, data, tmp_path / "seldom"), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert saved == [1, 4]  # the first, whose time isn't known before, and the last


def test_all_variables_come_back_or_none(tmp_path: Path) -> None:
    variables = [
        keras.Variable(np.full((2, 3), 1.5), dtype=dtype)
        for dtype in ("float32", "bfloat16", "int32")
    ]
    row: Any = {"epoch": 1} | dict.fromkeys(callbacks.HISTORY_COLUMNS[1:], 0.1 + 0.2)
    state = State(1, epoch=1, step=3, first_loss=0.1, history=[row])
    weights, best = [keras.Variable(np.zeros(3), dtype="float32")], [np.arange(3, dtype="float32")]
    save_state(tmp_path, state, variables, best)
    assert read_state(tmp_path) == state
    before = [np.array(variable) for variable in variables]
    for variable in variables:
        variable.assign(np.zeros((2, 3)))
    np.testing.assert_array_equal(restore(tmp_path, variables, weights), best)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), value, strict=True)
    others = [keras.Variable(np.zeros((2, 3))), keras.Variable(np.zeros(2))]
    with pytest.raises(RunError, match="variables are of another network.*`overwrite=True`"):
        restore(tmp_path, others, weights)
    assert not np.array(others[0]).any()
    for other in ([keras.Variable(np.zeros((1, 3)))], [], weights * 2):
        with pytest.raises(RunError, match="variables are of another network"):
            restore(tmp_path, variables, other)


def test_damaged_states_are_refused(tmp_path: Path) -> None:
    variables = [keras.Variable(np.arange(1000.0))]
    save_state(tmp_path, State(0), variables, [])
    content = (tmp_path / STATE).read_bytes()
    middle = len(content) // 2
    for damaged in (b"", content[:-5], content[:middle] + b"\xff" + content[middle + 1 :]):
        (tmp_path / STATE).write_bytes(damaged)
        with pytest.raises(RunError, match=f"{STATE} can't be read"):
            restore(tmp_path, variables, [])
    for position in ("{}", '{"stage": "1"}', '{"stage": 0, "epoch": 1}', "[", 5):
        write_arrays(tmp_path / STATE, {POSITION: np.array(position)})
        with pytest.raises(RunError, match=f"{STATE} can't be read"):
            read_state(tmp_path)
