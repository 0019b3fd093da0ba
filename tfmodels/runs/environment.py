"""What a run was made with: versions, commit, hardware; and a quiet import of TensorFlow.

TensorFlow is imported by `import_quietly` only.
"""

import importlib
import importlib.metadata
import logging
import os
import platform
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

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

    That log goes straight to file descriptor 2 and no setting turns it off (TensorFlow 2.21).
    If the import fails, the log is shown. Where Keras runs on another backend, TensorFlow
    only feeds it, and the GPUs are hidden from TensorFlow, which would take all their memory.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            _set_up_tensorflow()
            return importlib.import_module(module)
        except Exception:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _set_up_tensorflow() -> None:
    tensorflow = importlib.import_module("tensorflow")
    keras = importlib.import_module("keras")
    tensorflow.config.list_physical_devices()  # logs a lot
    if keras.config.backend() != "tensorflow":
        tensorflow.config.set_visible_devices([], "GPU")
    for name in ("absl", "tensorflow"):  # they warn of what users can't change
        logging.getLogger(name).setLevel(logging.ERROR)
