import csv
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.conftest import ROOT
from tfmodels import cli
from tfmodels.config import Config
from tfmodels.data.pipeline import Share
from tfmodels.errors import RunError, UsageError
from tfmodels.runs.contents import open_run
from tfmodels.training import distribution

PROGRAM = """
import sys
from tests.toys import TOY_DATA, TOY_NETWORK
from tfmodels import cli
from tfmodels.data.catalog import DATASETS
from tfmodels.models.catalog import NETWORKS
NETWORKS["toy"], DATASETS["toy"] = TOY_NETWORK, TOY_DATA
settings = ["--data", "toy", "--model", "toy", "--batch-size", "16"]
sys.exit(cli.main(["train", *settings, *sys.argv[1:]]))
"""


def begin(*arguments: str, devices: int = 1) -> subprocess.Popen[str]:
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin_both(*arguments: str, devices: int = 1) -> list[subprocess.Popen[str]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        begin(
            *arguments,
            *("--processes", "2", "--process-id", str(i), "--coordinator", coordinator),
            devices=devices,
        )
        for i in range(2)
    ]


def finish(*processes: subprocess.Popen[str]) -> None:
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs


def losses(run: Path) -> np.ndarray:
    with (run / "history.csv").open() as file:
        return np.array([[row["loss"], row["val_loss"]] for row in csv.DictReader(file)], float)


def arrays(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "predictions.npz") as found:
        return {**found}


@pytest.mark.parametrize(
    ("count", "processes", "devices", "copies"),
    [(8, 2, 4, 1), (6, 2, 4, 2), (3, 1, 8, 8), (12, 4, 8, 2), (4, 4, 4, 1)],
)
def test_shares_make_up_the_batch(
    count: int, processes: int, devices: int, copies: int, tf_test: Any
) -> None:
    rows = np.arange(100, 100 + count)
    parts = [Share(i, processes, devices).rows(rows) for i in range(processes)]
    together = np.concatenate([part for part, _ in parts])
    weights = np.concatenate([weights for _, weights in parts])
    tf_test.assertAllEqual(np.sort(together), np.repeat(rows, copies))
    assert weights.sum() == pytest.approx(count)
    assert len(together) % devices == 0


def test_it_needs_jax() -> None:
    with pytest.raises(UsageError, match="needs Keras on JAX, and it runs on tensorflow"):
        distribution.start()
    assert keras.distribution.distribution() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--processes 2", "--processes, --process-id and --coordinator go together: name all"),
        (
            "--processes 2 --process-id 2 --coordinator a:1",
            "--process-id is 2: it must be from 0 to below --processes, 2",
        ),
        (
            "--processes 2 --process-id 0 --coordinator here",
            "--coordinator is 'here': it must be HOST:PORT",
        ),
        ("--distribute --seeds 0 1", "--distribute shares one run: leave --seeds and tables out"),
        ("--distribute", "--distribute needs Keras on JAX"),
    ],
)
def test_wrong_calls(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--data", "sample", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_processes_and_devices_train_as_one_and_go_on_as_one(tmp_path: Path, tf_test: Any) -> None:
    pytest.importorskip("jax")
    out = ("--out", str(tmp_path), "--epochs", "3")
    finish(
        begin(*out, "--name", "one"), begin(*out, "--name", "devices", "--distribute", devices=4)
    )
    both = ("--out", str(tmp_path), "--epochs", "2")
    pairs = [begin_both(*both, "--name", name, devices=2) for name in ("two", "again")]
    finish(*pairs[0], *pairs[1])
    devices = open_run(tmp_path / "two").config["hardware"]["devices"]
    assert len(devices) == 4
    for name, found in arrays(tmp_path / "again").items():
        tf_test.assertAllEqual(found, arrays(tmp_path / "two")[name])
    finish(begin(*out, "--name", "two", "--distribute"))  # goes on in one process on one device
    for name in ("devices", "two"):
        tf_test.assertAllClose(losses(tmp_path / name), losses(tmp_path / "one"), atol=1e-5)
        tf_test.assertAllClose(
            arrays(tmp_path / name)["test_probabilities"],
            arrays(tmp_path / "one")["test_probabilities"],
            atol=1e-4,
        )


def wait_for_epoch(process: subprocess.Popen[str], epoch: int) -> None:
    assert process.stderr
    assert any(line.startswith(f"epoch {epoch}/") for line in process.stderr)


def test_a_process_that_dies_or_is_stopped_ends_the_others_and_all_go_on(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    arguments = (
        "--out",
        str(tmp_path),
        "--name",
        "run",
        "--epochs",
        "16",
        "--schedule",
        "constant",
    )
    first, second = begin_both(*arguments)
    wait_for_epoch(first, 3)
    second.kill()
    killed = time.monotonic()
    _, error = first.communicate(timeout=300)
    assert time.monotonic() - killed < 60
    assert first.returncode == 1, error
    assert "another process ended" in error.splitlines()[-1]
    first, second = begin_both(*arguments)
    wait_for_epoch(first, 8)
    for process in (second, first):  # as a cluster's manager does
        process.terminate()
    _, error = first.communicate(timeout=300)
    assert first.returncode == 143, error
    assert "the same command continues it" in error
    second.communicate(timeout=300)
    assert second.returncode != 0
    finish(*begin_both(*arguments))
    assert len(losses(tmp_path / "run")) == 16


def test_a_coordinator_that_does_not_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distribution, "LONGEST_START", 1)
    with pytest.raises(RunError, match="process 0 doesn't listen at 127.0.0.1:1: start it, or"):
        distribution._wait_for("127.0.0.1:1")


def test_machines_that_know_themselves_by_the_loopback_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exchange(_: np.ndarray) -> np.ndarray:
        raise RuntimeError("UNKNOWN: Gloo context initialization failed: Connection refused")

    monkeypatch.setattr(distribution, "_from_first", exchange)
    monkeypatch.setattr(distribution, "current_share", lambda: Share(0, 2, 2))
    monkeypatch.setattr(socket, "gethostname", lambda: "node7")
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    with pytest.raises(RunError, match=r"name, node7, stands for 127.0.1.1; .*correct /etc/hosts"):
        distribution.check_share(Config())


def test_a_batch_must_divide(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    process = begin("--distribute", "--out", str(tmp_path), devices=3)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "--batch-size is 16: it must be a multiple of 3, the devices that share" in error
