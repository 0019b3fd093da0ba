"""Training on several devices and processes, by Keras' DataParallel on JAX.

Each device has the whole network and its share of every batch. Gradients, statistics of batch norms
and metrics are those of the whole batch, so a training is that of one device but for rounding.
Process 0 alone writes to the run directory and judges the network; the others keep what they write
in a temporary folder.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from tfmodels.config import SOURCES, Config
from tfmodels.data.pipeline import Share
from tfmodels.errors import RunError, UsageError
from tfmodels.models.parts import without_optimizer
from tfmodels.runs.directory import STATE
from tfmodels.safe_files import printable
from tfmodels.terminal import AT_FAILURE
from tfmodels.training.interruption import SIGNALS

SILENCE = 30  # seconds without a sign of life, after which a process counts as dead
LONGEST_JUDGING = 3600  # seconds for which other processes wait until process 0 has finished
LONGEST_START = 120  # seconds for which they wait until it listens
# Variables by which a cluster's manager tells processes about each other; JAX reads them.
MANAGERS = ("SLURM_STEP_NODELIST", "JOBSET_NAME", "OMPI_MCA_orte_hnp_uri")
# What errors of JAX say where another process is gone, in collectives of CPUs and of GPUs.
GONE = ("Gloo", "NCCL", "UNAVAILABLE", "heartbeat", "DEADLINE_EXCEEDED")


def start(
    processes: int | None = None, process: int | None = None, coordinator: str | None = None
) -> None:
    """Have all devices of this process, and of others with which it trains, share the training.

    Without arguments the others are those that SLURM, Kubernetes' JobSet or Open MPI started.

    Args:
        processes: how many there are.
        process: number of this one, from 0.
        coordinator: address and port on which process 0 listens, the same for all.

    Raises:
        UsageError: Keras doesn't run on JAX.
        RunError: the other processes can't be reached.
    """
    if keras.backend.backend() != "jax":
        raise UsageError(
            f"`distribute` needs Keras on JAX, and it runs on {keras.backend.backend()}: install "
            "jax, and set KERAS_BACKEND=jax"
        )
    import jax

    if processes or any(name in os.environ for name in MANAGERS):
        jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
        if process and coordinator:
            _wait_for(coordinator)
        try:
            jax.distributed.initialize(
                coordinator,
                processes,
                process,
                heartbeat_timeout_seconds=SILENCE,
                shutdown_timeout_seconds=LONGEST_JUDGING,
            )
        except (RuntimeError, ValueError) as error:
            raise RunError(f"the other processes can't be reached ({error})") from error
        AT_FAILURE.append(_leave)
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(distribution)


def _wait_for(coordinator: str) -> None:
    """Wait until process 0 listens: JAX aborts without an error where it doesn't.

    Raises:
        RunError: it doesn't in time.
    """
    host, port = coordinator.rsplit(":", 1)
    for _ in range(LONGEST_START):
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(1)
    raise RunError(f"process 0 doesn't listen at {coordinator}: start it, or correct `coordinator`")


def _leave(code: int) -> None:
    """End this process at once: JAX would wait for the others, which wait for it or are dead."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def current_share() -> Share | None:
    """Return what this process reads of each batch; None if it trains alone on one device."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return None
    import jax

    return Share(jax.process_index(), jax.process_count(), distribution.device_mesh.devices.size)


def is_first() -> bool:
    """Return whether this process writes to the run directory."""
    share = current_share()
    return share is None or share.process == 0


def check_share(config: Config) -> None:
    """Check that a training can be shared, if it is to be.

    Raises:
        UsageError: it can't, or the processes have different settings.
    """
    share = current_share()
    if share is None:
        return
    if config.batch_size % share.devices:
        raise UsageError(
            f"`batch_size` is {config.batch_size}: it must be a multiple of {share.devices}, the "
            "devices that share a batch"
        )
    if config.trainable != "all":
        raise UsageError(f"`trainable={config.trainable}` can't be shared: leave `distribute` out")
    if config.class_weights:
        raise UsageError("`class_weights=True` can't be shared: leave one of them out")
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in SOURCES}
    own = zlib.crc32(repr(settings).encode())
    if share.processes > 1 and own != _first_exchange(np.array([own], np.uint32))[0]:
        raise UsageError("process 0 has other settings: give all processes the same command")


def _first_exchange(array: np.ndarray) -> np.ndarray:
    """Return the array of process 0, the first that the processes exchange themselves.

    Raises:
        RunError: they can't reach each other. On CPUs each tells the others to find it at what its
            machine's name stands for, often the loopback address.
    """
    try:
        return _from_first(array)
    except Exception as error:
        if not _is_of_others(error):
            raise
        name, address = socket.gethostname(), "no address"
        with contextlib.suppress(OSError):
            address = socket.gethostbyname(name)
        raise RunError(
            f"the processes can't reach each other: this machine's name, {name}, stands for "
            f"{address}; if that isn't its address for the other machines, correct /etc/hosts "
            f"({printable(str(error))})"
        ) from error


@contextlib.contextmanager
def helping() -> Iterator[Path]:
    """Yield a folder for what a process writes that isn't the first.

    It shows no progress, and a signal to stop is for process 0, which saves the state first.
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        yield Path(folder)


def share_state(directory: Path, start: int = 0) -> int:
    """Give the state of an interrupted training, if there is one, from process 0 to the others.

    Args:
        directory: of the run, or for what a process writes.
        start: what the weights came from, as a number, which process 0 knows.

    Returns:
        That number.
    """
    share = current_share()
    if share is None or share.processes == 1:
        return start
    path = directory / STATE
    content = path.read_bytes() if share.process == 0 and path.exists() else b""
    size, start = map(int, _from_first(np.array([len(content), start], np.uint32)))
    if size:
        received = _from_first(np.frombuffer(content.ljust(size, b"\0"), np.uint8))
        if share.process:
            path.write_bytes(received.tobytes())
    return start


def _from_first(array: np.ndarray) -> np.ndarray:
    """Return the array of process 0; those of the others have the same shape."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(array))


def _is_of_others(error: Exception) -> bool:
    """Return whether JAX says that another process is gone or out of reach."""
    return any(word in str(error) for word in GONE)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Say so where the block fails because another process ended, or can't be reached any more.

    Raises:
        RunError: one did.
    """
    share = current_share()
    try:
        yield
    except Exception as error:
        if share and share.processes > 1 and _is_of_others(error):
            raise RunError(
                "another process ended or can't be reached any more: start all again, and the "
                f"training goes on ({printable(str(error))})"
            ) from error
        raise


@contextlib.contextmanager
def alone(network: keras.Model) -> Iterator[keras.Model]:
    """Yield a network that predicts on this process' own device, as others may have ended."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        yield network
        return
    keras.distribution.set_distribution(None)
    try:
        copy = keras.models.clone_model(without_optimizer(network))
        copy.set_weights([np.asarray(weight) for weight in network.get_weights()])
        yield copy
    finally:
        keras.distribution.set_distribution(distribution)
