"""What several tests share: small real things, made once a session."""

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from tfmodels.data import eurosat, loading, sample

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory):
    """A folder that holds the prepared sample."""
    folder = tmp_path_factory.mktemp("cache") / "tfmodels"
    sample.prepare(sample.CIFAR_SAMPLE, folder)
    sample.prepare(sample.EUROSAT_SAMPLE, folder)
    return folder


@pytest.fixture(scope="session")
def land_data(sample_dir):
    """EuroSAT's stand-in with seed 0: 64 training, 320 validation and 400 test pictures."""
    return eurosat.load_eurosat("sample", sample_dir, seed=0, limit=64)


@pytest.fixture(scope="session")
def sample_data(sample_dir):
    """The sample with seed 0, 320 training examples."""
    return loading.load_data("sample", sample_dir, seed=0, limit=320)


def _runner(script):
    def run(*args, **kwargs):
        command = [sys.executable, str(ROOT / script), *map(str, args)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, **kwargs
        )

    return run


@pytest.fixture
def run_cifar_script():
    """Run train_cifar.py with arguments; gives the finished process with its output."""
    return _runner("train_cifar.py")


@pytest.fixture
def run_eurosat_script():
    """Run train_eurosat.py with arguments; gives the finished process with its output."""
    return _runner("train_eurosat.py")


@pytest.fixture
def loopback():
    """A loopback server: its answers, path -> (status, stated size, content), and its URL."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, size, content = answers.get(self.path, (404, 0, b""))
            if "gzip" in self.headers["Accept-Encoding"]:  # sizes would not be the files' own
                status = 406
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield answers, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def random_probabilities():
    """A function that gives (n, classes) float32 rows that sum to 1."""

    def make(n, classes, seed=0):
        values = np.random.default_rng(seed).random((n, classes))
        return (values / values.sum(axis=1, keepdims=True)).astype("float32")

    return make
