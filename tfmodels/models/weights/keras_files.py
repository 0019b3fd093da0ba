"""Read Keras' own files of weights, `.weights.h5` and `.keras`, so that they can be checked.

Keras' `load_weights` sets what fits before it finds what doesn't, and names one example of it.
"""

import warnings
from pathlib import Path

import keras
import numpy as np

from tfmodels.models.weights.setting import named_weights


def read_keras(path: Path, model: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights of a model that a file has with the right shape, by `layer/weight`.

    The file can be of the whole network, or of the model that is nested in it. Of a `.keras`
    file only the weights are read, not the model, and of both not the state of an optimizer.

    Raises:
        Exception: of many kinds, where the file is missing or damaged.
    """
    # Without the optimizer of the model: Keras would load that, too.
    uncompiled = keras.Model(model.inputs, model.outputs)
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return max((_read_into(part, path) for part in (uncompiled, *nested)), key=len)


def _read_into(model: keras.Model, path: Path) -> dict[str, np.ndarray]:
    """Load the file over NaNs, return the weights that it replaced, and restore the model."""
    before = [(variable, np.array(variable)) for variable in model.variables]
    try:
        for weight in model.weights:
            weight.assign(np.full(weight.shape, np.nan))
        with warnings.catch_warnings(action="ignore"):  # one for each layer that doesn't fit
            model.load_weights(path, skip_mismatch=True)
        arrays = named_weights(model)
        return {name: array for name, array in arrays.items() if not np.isnan(array).all()}
    finally:
        for variable, value in before:
            variable.assign(value)
