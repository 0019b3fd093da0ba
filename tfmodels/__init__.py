"""Image classification with Keras: data, networks, training, evaluation, fusion and reports.

Names are imported when first used, so that `import tfmodels` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "Config": "config",
    "configure": "recipes",
    "run": "experiment",
    "ImageData": "data.images",
    "load_data": "data.images",
    "evaluate": "evaluation",
    "most_confused": "evaluation",
}
__all__ = list(_HOME)
_ON_TENSORFLOW = ("experiment", "data.images")  # whose start-up log is kept back


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfmodels.runs.environment import import_quietly

    module = f"{__name__}.{_HOME[name]}"
    load = import_quietly if _HOME[name] in _ON_TENSORFLOW else importlib.import_module
    return getattr(load(module), name)
