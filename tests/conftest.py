"""What several tests share: small real things, made once a session."""

import dataclasses
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from tfmodels.runs.environment import import_quietly

tf = import_quietly("tensorflow")

from tests.toys import TOY_DATA, TOY_NETWORK  # noqa: E402
from tfmodels.config import Config  # noqa: E402
from tfmodels.data import sample  # noqa: E402
from tfmodels.data.catalog import DATASETS  # noqa: E402
from tfmodels.data.images import ImageData, load_data  # noqa: E402
from tfmodels.evaluation import evaluate  # noqa: E402
from tfmodels.experiment import run as train  # noqa: E402
from tfmodels.fusion.combine import run_fusion  # noqa: E402
from tfmodels.fusion.members import load_members  # noqa: E402
from tfmodels.models.catalog import NETWORKS  # noqa: E402
from tfmodels.recipes import configure  # noqa: E402
from tfmodels.runs.manifest import write_manifest  # noqa: E402
from tfmodels.runs.predictions import Predictions, save_images, save_predictions  # noqa: E402
from tfmodels.safe_files import read_json, write_json  # noqa: E402

ROOT = Path(__file__).parent.parent
# The tests' own cache folder would have each process look through all fonts again: 10 s.
os.environ.setdefault("MPLCONFIGDIR", matplotlib.get_cachedir())


@pytest.fixture(scope="session")
def tf_test() -> Any:
    """TensorFlow's assertions on arrays, such as `tf_test.assertAllClose(a, b)`."""
    return tf.test.TestCase()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the tests' own, for this process and those that it starts."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    yield folder / "tfmodels"
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the prepared samples."""
    folder = tmp_path_factory.mktemp("samples")
    sample.prepare(sample.SAMPLE, folder)
    sample.prepare(sample.LAND_SAMPLE, folder)
    return folder


def _with_few_training_images(data: str, sample_dir: Path, limit: int) -> ImageData:
    config = configure(data=data, data_dir=str(sample_dir), limit=limit)
    whole = load_data(dataclasses.replace(config, limit=None))
    return dataclasses.replace(whole, train=load_data(config).train)


@pytest.fixture(scope="session")
def land_data(sample_dir: Path) -> ImageData:
    """EuroSAT's stand-in with seed 0: 64 training, 320 validation and 400 test images."""
    return _with_few_training_images("land-sample", sample_dir, 64)


@pytest.fixture(scope="session")
def sample_data(sample_dir: Path) -> ImageData:
    """CIFAR-10's stand-in with seed 0: 320 training, 500 validation and 1,000 test images."""
    return _with_few_training_images("sample", sample_dir, 320)


RunScript = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def run_script() -> RunScript:
    """Run a script of the repository with arguments; returns the finished process."""

    def run(script: str, *arguments: Any, **options: Any) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(ROOT / script), *map(str, arguments)]
        options = {"cwd": ROOT, "timeout": 300, **options}
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    return run


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; the manifest of its run stays as it is."""
    write_json(path, read_json(path, dict[str, Any]) | changes)


def change_arrays(path: Path, **changes: Any) -> None:
    """Set arrays of an `.npz` file; the manifest of its run stays as it is."""
    with np.load(path) as arrays:
        np.savez(path, **({**arrays} | changes))


@pytest.fixture(scope="module")
def toy_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Two runs of the toy network that differ in their seed, and the runs' fusion."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "toy", TOY_NETWORK)
        patch.setitem(DATASETS, "toy", TOY_DATA)
        out = tmp_path_factory.mktemp("runs")
        settings = {"data": "toy", "epochs": 2, "views": "mirror", "split_seed": 0}
        members = [
            train(Config(**settings, seed=seed), out=out, name=f"run{seed}")  # type: ignore[arg-type]
            for seed in (0, 1)
        ]
        run_fusion(load_members(members), "geometric", True, out / "fused")
        yield [*members, out / "fused"]


Answers = dict[str, tuple[int, int, bytes]]


@pytest.fixture
def loopback() -> Iterator[tuple[Answers, str]]:
    """A loopback server: its answers, path -> (status, stated size, content), and its URL."""
    answers: Answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, size, content = answers.get(self.path, (404, 0, b""))
            if "gzip" in self.headers.get("Accept-Encoding", ""):  # sizes would not be the files'
                status = 406
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield answers, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def random_probabilities() -> Callable[..., np.ndarray]:
    """A function that returns (n, classes) float32 rows that sum to 1."""

    def make(n: int, classes: int, seed: int = 0) -> np.ndarray:
        values = np.random.default_rng(seed).random((n, classes))
        probabilities: np.ndarray = values / values.sum(axis=1, keepdims=True)
        return probabilities.astype("float32")

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes what reports and fusions read of a run, without training.

    Its network is right where `skill` outweighs noise; `seed` chooses the noise, not the
    images.
    """
    names = ("Forest", "River", "Highway")

    def make(
        name: str = "run",
        skill: float = 2.0,
        seed: int = 0,
        order_seed: int | None = None,
        **settings: Any,
    ) -> Path:
        run = tmp_path / name
        run.mkdir(parents=True)
        truth, noise = np.random.default_rng(99), np.random.default_rng(seed)
        splits = {}
        for split, n in (("val", 120), ("test", 150)):
            labels = truth.integers(0, 3, n)
            logits = skill * np.eye(3)[labels] + noise.normal(size=(n, 3))
            exponentials = np.exp(logits)
            probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
            order = np.arange(n)
            if order_seed is not None:
                np.random.default_rng(order_seed).shuffle(order)
            ids = np.array([f"{names[label]}_{i}.jpg" for i, label in enumerate(labels)])
            splits[split] = Predictions(
                ids[order], labels[order], probabilities[order].astype(np.float32)
            )
        save_predictions(run / "predictions.npz", splits, names)
        test = splits["test"]
        wrong = test.ids[test.probabilities.argmax(axis=1) != test.labels]
        save_images(
            run / "mistakes.npz",
            wrong,
            [np.full((4, 4, 3), i, np.uint8) for i in range(len(wrong))],
        )
        header = "epoch,lr,loss,accuracy,val_loss,val_accuracy,seconds"
        (run / "history.csv").write_text(f"{header}\n1,0.1,2,.3,2.1,.2,5\n2,0.1,1,.4,1.1,.3,5\n")
        settings = {"data": "eurosat", "model": "mobilenetv2", "weights": "none"} | settings
        config = {
            "settings": settings,
            "command": ["train_eurosat.py", "--model", settings["model"]],
            "git_commit": None,
            "dataset": {
                "name": "eurosat",
                "version": "2.0.0",
                "class_names": names,
                "image_shape": [4, 4, 3],
                "split": "random, seed 0",
                "splits": {"train": 200, "val": 120, "test": 150},
                "checksum": "0",
                "split_checksum": "0",
            },
            "model": {
                "name": settings["model"],
                "parameters": 7,
                "structure": "0",
                "initial_weights": "none",
            },
            "versions": {"keras": "3.15.1"},
            "hardware": {"machine": "m", "processor": "one", "cores": 2, "memory_gib": 1},
            "started": "2026-01-01",
            "ended": "2026-01-02",
        }
        write_json(run / "config.json", config)
        metrics = {
            name: evaluate(split.labels, split.probabilities, names)
            for name, split in splits.items()
        }
        write_json(run / "metrics.json", metrics)
        (run / ".tfmodels").touch()
        write_manifest(run)
        return run

    return make
