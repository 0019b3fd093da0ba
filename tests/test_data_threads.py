import dataclasses
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.conftest import ROOT
from tfmodels.data.images import ImageData, Split
from tfmodels.data.pipeline import training_batches
from tfmodels.errors import RunError
from tfmodels.recipes import configure
from tfmodels.training.fit import predict, train_model


class Images:
    """Images of which some act on being read."""

    def __init__(self, read: Any) -> None:
        self.images = np.zeros((40, 4, 4, 3), "uint8")
        self.read = read

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.read(rows)
        return np.asarray(self.images[rows])


def split(read: Any) -> Split:
    return Split(Images(read), np.arange(40).astype(str), np.arange(40) % 2)


def fail(rows: np.ndarray) -> None:
    if 33 in rows:
        raise RunError("33.png: not a regular file")


@pytest.fixture
def network() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )


def test_an_error_in_predicting_is_as_it_was_raised(network: keras.Model) -> None:
    with pytest.raises(RunError, match=r"^33\.png: not a regular file$"):
        predict(network, split(fail))


@pytest.mark.parametrize("part", ["train", "val"])
def test_an_error_in_training_is_as_it_was_raised(
    network: keras.Model, tmp_path: Path, part: str
) -> None:
    fine = (np.zeros((40, 4, 4, 3), "uint8"), np.arange(40) % 2)
    data = ImageData.from_arrays(fine, fine, fine, class_names=("a", "b"))
    changed: Any = {part: split(fail)}
    data = dataclasses.replace(data, **changed)
    with pytest.raises(RunError, match=r"^33\.png: not a regular file$"):
        train_model(network, data, configure(epochs=1, batch_size=8), tmp_path)


def test_two_batches_are_made_at_a_time() -> None:
    barrier = threading.Barrier(2, timeout=20)
    both = split(lambda rows: barrier.wait() if len(rows) > 1 else None)
    assert sum(len(labels) for _, labels in training_batches(both, 10, [0])) == 40


def test_python_exits_while_batches_are_made() -> None:
    code = """
import time
from tests.test_data_threads import split
from tfmodels.data.pipeline import training_batches

batches = iter(training_batches(split(lambda rows: time.sleep(0.05)), 2, [0], epochs=50))
next(batches)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0
