"""Set a network's weights by name: all that are meant, or none."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tfmodels.errors import RunError, first_names
from tfmodels.models.parts import BOUNDARY


def set_weights(model: keras.Model, arrays: Mapping[str, np.ndarray], source: Path) -> None:
    """Set a network's weights by `layer/weight`, such as `conv1/kernel`, all of them or none.

    A classifier (`logits`) for another number of classes is left as it is, and so is the
    whole head, what follows the features, where the arrays have none of it.

    Raises:
        RunError: names, shapes or counts don't fit; the message lists what is missing, extra
            or of another shape. No weight is changed then.
    """
    variables = _named_variables(model)
    place = model.layers.index(model.get_layer(BOUNDARY))
    in_head = {f"{layer.name}/{w.name}" for layer in model.layers[place:] for w in layer.weights}
    classifier = {"logits/kernel", "logits/bias"}
    other = any(
        name in arrays and arrays[name].shape != tuple(variables[name].shape) for name in classifier
    )
    if not in_head & arrays.keys():
        left = in_head
    else:
        left = classifier if other or not classifier & arrays.keys() else set()
    wanted = variables.keys() - left
    given = arrays.keys() - (left if other else set())
    faults = {
        "missing": wanted - given,
        "extra": given - wanted,
        "of another shape": {
            f"{name} {arrays[name].shape} for {tuple(variables[name].shape)}"
            for name in wanted & given
            if arrays[name].shape != tuple(variables[name].shape)
        },
    }
    if any(faults.values()):
        listed = "; ".join(
            f"{what}: {first_names(sorted(names), most=8)}"
            for what, names in faults.items()
            if names
        )
        raise RunError(f"{source} doesn't fit {model.name}: {listed}")
    for name in wanted:
        variables[name].assign(arrays[name])


def named_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """A model's weights by `layer/weight`, those of nested models too."""
    return {name: np.array(variable) for name, variable in _named_variables(model).items()}


def _named_variables(model: keras.Model) -> dict[str, keras.Variable]:
    found: dict[str, keras.Variable] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= _named_variables(layer)
        else:
            found |= {f"{layer.name}/{weight.name}": weight for weight in layer.weights}
    return found
