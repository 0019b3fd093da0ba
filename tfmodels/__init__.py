"""Image classification with Keras: data, models, training, evaluation and runs.

Names are imported when first used, so that `import tfmodels` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "CifarSettings": "settings",
    "load_data": "data.loading",
    "vgg": "models.vgg",
    "train": "training",
    "predict": "training",
    "evaluate": "evaluation",
    "most_confused": "evaluation",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
