"""What several tests share: small real things, made once a session."""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from tfmodels.data import loading, sample

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory):
    """A folder that holds the prepared sample."""
    folder = tmp_path_factory.mktemp("cache") / "tfmodels"
    sample.prepare(folder)
    return folder


@pytest.fixture(scope="session")
def sample_data(sample_dir):
    """The sample with seed 0, 320 training examples."""
    return loading.load_data("sample", sample_dir, seed=0, limit=320)


@pytest.fixture
def run_cifar_script():
    """Run train_cifar.py with arguments; gives the finished process with its output."""

    def run(*args, **kwargs):
        command = [sys.executable, str(ROOT / "train_cifar.py"), *map(str, args)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, **kwargs
        )

    return run


@pytest.fixture
def random_probabilities():
    """A function that gives (n, classes) float32 rows that sum to 1."""

    def make(n, classes, seed=0):
        values = np.random.default_rng(seed).random((n, classes))
        return (values / values.sum(axis=1, keepdims=True)).astype("float32")

    return make
