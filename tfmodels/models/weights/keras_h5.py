"""Read Keras' `.weights.h5` files by layer and weight, so that they can be checked first.

Keras' own `load_weights` sets what fits before it finds what doesn't.
"""

import re
from collections import Counter
from pathlib import Path

import h5py
import keras
import numpy as np


def read_h5(path: Path, model: keras.Model) -> dict[str, np.ndarray]:
    """Read a weights file of a model, or of the one model nested in it, by `layer/weight`.

    What the model has no layer for keeps its name in the file, to be reported; the state of an
    optimizer is left out.

    Raises:
        Exception: of many kinds, where the file is missing or damaged.
    """
    stored: dict[str, np.ndarray] = {}

    def collect(name: str, item: h5py.Dataset | h5py.Group) -> None:
        """Keep a weight by its path in the file."""
        if isinstance(item, h5py.Dataset) and "/seed_generator/" not in name:
            stored[name] = item[()]

    with h5py.File(path) as file:
        file["layers"].visititems(collect)
    stored = {f"layers/{name}": value for name, value in stored.items()}
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if nested and not any("/functional/" in name for name in stored):
        (model,) = nested
    names = {}
    for prefix, layer in _stored_layers(model, "layers"):
        for index, weight in enumerate(layer.weights):
            names[f"{prefix}/vars/{index}"] = f"{layer.name}/{weight.name}"
    return {names.get(name, name): value for name, value in stored.items()}


def _stored_layers(model: keras.Model, prefix: str) -> list[tuple[str, keras.layers.Layer]]:
    """Each layer with the name that Keras stores it under: its class, numbered."""
    found, numbers = [], Counter[str]()
    for layer in model.layers:
        name = re.sub(r"([a-z])([A-Z][a-z])", r"\1_\2", type(layer).__name__).lower()
        place = f"{prefix}/{name}_{numbers[name]}" if numbers[name] else f"{prefix}/{name}"
        numbers[name] += 1
        if isinstance(layer, keras.Model):
            found += _stored_layers(layer, f"{place}/layers")
        else:
            found.append((place, layer))
    return found
