"""What a run was made with and on: versions and hardware, for its config.json.

No TensorFlow here.
"""

import importlib.metadata
import os
import platform
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


def _processor() -> str:
    info = Path("/proc/cpuinfo")  # platform.processor() is empty on Linux
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
