"""Training on several devices and processes, by Keras' DataParallel on JAX.

Each device has the whole network and its share of every batch. Gradients, statistics of batch norms
and metrics are those of the whole batch, so a training is that of one device but for rounding.
Process 0 alone writes to the run directory and judges the network; the others keep what they write
in a temporary folder.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from tfmodels.config import Config
from tfmodels.data.pipeline import Share
from tfmodels.errors import RunError, UsageError
from tfmodels.models.parts import without_optimizer
from tfmodels.runs.directory import STATE
from tfmodels.safe_files import printable
from tfmodels.terminal import AT_FAILURE

SILENCE = 30  # seconds without a sign of life, after which a process counts as dead
LONGEST_JUDGING = 3600  # seconds for which other processes wait until process 0 has finished
# Variables by which a cluster's manager tells processes about each other; JAX reads them.
MANAGERS = ("SLURM_JOB_ID", "JOBSET_NAME", "OMPI_MCA_orte_hnp_uri")


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
        UsageError: it can't.
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


@contextlib.contextmanager
def helping() -> Iterator[Path]:
    """Yield a folder for what a process writes that isn't the first; it shows no progress."""
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
    from jax.experimental import multihost_utils

    path = directory / STATE
    content = path.read_bytes() if share.process == 0 and path.exists() else b""
    numbers = np.array([len(content), start], np.uint32)
    size, start = map(int, np.asarray(multihost_utils.broadcast_one_to_all(numbers)))
    if size:
        padded = np.frombuffer(content.ljust(size, b"\0"), np.uint8)
        received = np.asarray(multihost_utils.broadcast_one_to_all(padded))
        if share.process:
            path.write_bytes(received.tobytes())
    return start


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
        lost = type(error).__name__ == "JaxRuntimeError" or "Gloo" in str(error)
        if share and share.processes > 1 and lost:
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
