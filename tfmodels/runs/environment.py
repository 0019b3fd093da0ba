"""What a run was made with: versions, commit, hardware; and a quiet import of TensorFlow.

TensorFlow and Keras are imported by `import_quietly` and `hide_gpus_from_tensorflow` only.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import logging
import os
import platform
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tfmodels

PACKAGES = (
    "keras",
    "tensorflow",
    "tensorflow-datasets",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
)


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on.

    Args:
        *more: names of further packages.
    """
    return {
        "python": platform.python_version(),
        "tfmodels": tfmodels.__version__,
        **{package: importlib.metadata.version(package) for package in (*PACKAGES, *more)},
    }


def git_commit() -> str | None:
    """Return the commit of this code, such as "1a2b3c4", with "-dirty" if it was changed since.

    None if there is no git, or the package is not in a repository of its own (installed in an
    environment inside someone else's, for example).
    """
    folder = Path(__file__).resolve().parents[2]
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != folder:
            return None
        return _git(folder, "describe", "--always", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", *args], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return done.stdout.strip()


def hardware() -> dict[str, Any]:
    """Return processor, cores this process may use, and memory (None where unknown)."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": _cores(),
        "memory_gib": _memory_gib(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")  # platform.processor() is empty on Linux
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    return round(size / 2**30, 1)


def import_quietly(module: str) -> types.ModuleType:
    """Import a module that loads TensorFlow, without the start-up log of its C++ parts.

    If the import fails, the log is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _stderr_kept_back():
        tensorflow = importlib.import_module("tensorflow")
        importlib.import_module("keras")
        tensorflow.config.list_physical_devices()  # logs a lot
    hide_gpus_from_tensorflow()
    for name in ("absl", "tensorflow"):  # they warn of what users can't change
        logging.getLogger(name).setLevel(logging.ERROR)
    with _stderr_kept_back():
        return importlib.import_module(module)


@contextlib.contextmanager
def _stderr_kept_back() -> Iterator[None]:
    """Show what is written to file descriptor 2 only if the block fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except Exception:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@functools.cache  # one warning is enough
def hide_gpus_from_tensorflow() -> None:
    """Hide the GPUs from TensorFlow where Keras runs on another backend.

    There TensorFlow only feeds images, but would take all memory of the GPUs. Warns if it has
    started already, which is too late.
    """
    tensorflow = importlib.import_module("tensorflow")
    keras = importlib.import_module("keras")
    backend = keras.config.backend()
    if backend == "tensorflow":
        return
    try:
        tensorflow.config.set_visible_devices([], "GPU")
    except RuntimeError:
        print(
            f"warning: TensorFlow has started already and may keep the GPUs from {backend}: "
            "train before you use TensorFlow for other things",
            file=sys.stderr,
        )
