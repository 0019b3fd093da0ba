"""What a run is made with and on: versions, hardware, and a TensorFlow that loads quietly.

No TensorFlow here before it is asked for.
"""

import importlib
import importlib.metadata
import logging
import os
import platform
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
    """Versions of Python and of the packages that results depend on; `more` names further ones."""
    return {
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in (*PACKAGES, *more)},
    }


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, and memory."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }


def import_quietly(module: str) -> types.ModuleType:
    """Import a module that loads TensorFlow, without the start-up log of its C++ parts.

    That log goes straight to file descriptor 2 and can't be turned off by any setting
    (TensorFlow 2.21); it would bury our own messages. A failed import shows it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            imported = importlib.import_module(module)
            importlib.import_module("tensorflow").config.list_physical_devices()  # logs a lot
            for name in ("absl", "tensorflow"):  # warn of what our users can't change
                logging.getLogger(name).setLevel(logging.ERROR)
            return imported
        except Exception:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _processor() -> str:
    info = Path("/proc/cpuinfo")  # platform.processor() is empty on Linux
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
