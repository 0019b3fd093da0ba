"""Image classification with Keras: data, networks, training, evaluation, fusion and reports.

Names are imported when first used, so that `import tfmodels` costs nothing.
"""

from typing import Any

__version__ = "0.2.0"

_HOME = {
    "Config": "config",
    "configure": "recipes",
    "run": "experiment",
    "ImageData": "data.images",
    "load_data": "data.catalog",
    "evaluate": "evaluation",
    "most_confused": "evaluation",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfmodels.runs.environment import import_quietly

    return getattr(import_quietly(f"{__name__}.{_HOME[name]}"), name)
