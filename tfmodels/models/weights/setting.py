"""Set a network's weights by name: all that belong together, or none."""

from collections.abc import Mapping, Set
from pathlib import Path

import keras
import numpy as np

from tfmodels.errors import RunError, first_names
from tfmodels.models.parts import BOUNDARY
from tfmodels.safe_files import printable

CLASSIFIER = {"logits/kernel", "logits/bias"}
FLOATS = ("float16", "bfloat16", "float32", "float64")


def set_weights(model: keras.Model, arrays: Mapping[str, np.ndarray], source: Path | str) -> None:
    """Set a network's weights by `layer/weight`, such as `conv1/kernel`, all of them or none.

    A classifier (`logits`) for another number of classes is skipped, and so is the whole
    classifier head where the arrays have none of it.

    Args:
        model: the network.
        arrays: its weights.
        source: where they come from, for messages.

    Raises:
        RunError: names, shapes or values don't fit; the message lists them. No weight is
            changed then.
    """
    variables = _named_variables(model)
    needed = variables.keys() - _skipped(model, variables, arrays)
    present = needed & arrays.keys()
    misshapen = {name for name in present if arrays[name].shape != tuple(variables[name].shape)}
    problems = {
        "no match for": needed - present,
        "unknown": arrays.keys() - variables.keys(),
        "of another shape": {
            f"{name} {arrays[name].shape} for {tuple(variables[name].shape)}" for name in misshapen
        },
        "not finite float32 numbers": {name for name in present if not is_finite(arrays[name])},
    }
    if any(problems.values()):
        listed = "; ".join(
            f"{what}: {first_names([printable(name) for name in sorted(names)], most=8)}"
            for what, names in problems.items()
            if names
        )
        hint = _hint(problems["no match for"] | misshapen)
        raise RunError(f"{source} doesn't fit {model.name}: {listed}{hint}")
    for name in needed:
        variables[name].assign(arrays[name])


def named_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return a model's weights by `layer/weight`, with those of nested models."""
    return {name: np.array(variable) for name, variable in _named_variables(model).items()}


def _skipped(
    model: keras.Model, variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]
) -> Set[str]:
    """Return which weights of the head are left as they are: all, the classifier's, or none."""
    start = model.layers.index(model.get_layer(BOUNDARY))
    head = {f"{layer.name}/{w.name}" for layer in model.layers[start:] for w in layer.weights}
    if not head & arrays.keys():
        return head
    present = CLASSIFIER & arrays.keys()
    fits = all(arrays[name].shape == tuple(variables[name].shape) for name in present)
    return set() if present and fits else CLASSIFIER


def is_finite(array: np.ndarray) -> bool:
    """Return whether an array holds numbers that are finite as float32."""
    if array.dtype.name not in FLOATS:
        return False
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite
        return bool(np.isfinite(array.astype("float32", copy=False)).all())


def _hint(names: Set[str]) -> str:
    """Return what to do where only the dense layer on the features' map doesn't fit."""
    if "dense1/kernel" in names and {name.split("/")[0] for name in names} == {"dense1"}:
        return (
            "; the dense layers fit one size of images: use the `image_size` that the weights "
            "were trained at (`image_size=227` for the published weights of the original AlexNet)"
        )
    return ""


def _named_variables(model: keras.Model) -> dict[str, keras.Variable]:
    variables: dict[str, keras.Variable] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            variables |= _named_variables(layer)
        else:
            variables |= {f"{layer.name}/{weight.name}": weight for weight in layer.weights}
    return variables
