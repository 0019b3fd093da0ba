"""AlexNet's weights from other frameworks: converted to Keras' layouts, checked, and set."""

from pathlib import Path

import keras
import numpy as np

from tfmodels.errors import RunError

# Layers of torchvision's AlexNet by ours.
TORCHVISION = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "dense1": "classifier.1",
    "dense2": "classifier.4",
    "logits": "classifier.6",
}


def from_torchvision(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename and transpose the tensors of torchvision's AlexNet.

    Convolutions go from (out, in, height, width) to (height, width, in, out), dense kernels
    from (out, in) to (in, out), and the first dense layer's inputs from the order channel,
    row, column to row, column, channel. Other tensors keep their names, to be reported.
    """
    state = dict(state)
    arrays = {}
    for ours, theirs in TORCHVISION.items():
        kernel, bias = state.pop(f"{theirs}.weight", None), state.pop(f"{theirs}.bias", None)
        if kernel is not None:
            if ours == "dense1" and kernel.shape[1:] == (256 * 6 * 6,):
                rows = kernel.reshape(-1, 256, 6, 6).transpose(0, 2, 3, 1)
                kernel = rows.reshape(len(kernel), -1)
            axes = (2, 3, 1, 0) if kernel.ndim == 4 else tuple(reversed(range(kernel.ndim)))
            arrays[f"{ours}/kernel"] = kernel.transpose(axes)
        if bias is not None:
            arrays[f"{ours}/bias"] = bias
    return arrays | state


def set_weights(model: keras.Model, arrays: dict[str, np.ndarray], source: Path) -> None:
    """Set a model's weights by name (`conv1/kernel`), all of them or none.

    A classifier (`logits`) for another number of classes is left as it is.

    Raises:
        RunError: names, shapes or counts don't fit; the message lists what is missing, extra
            or of another shape. No weight is changed then.
    """
    variables = {
        f"{layer.name}/{weight.name}": weight for layer in model.layers for weight in layer.weights
    }
    bias = arrays.get("logits/bias")
    if bias is not None and bias.shape != variables["logits/bias"].shape:
        for name in ("logits/kernel", "logits/bias"):
            arrays = {key: value for key, value in arrays.items() if key != name}
            del variables[name]
    faults = [f"{name} is missing" for name in variables.keys() - arrays.keys()]
    faults += [f"{name} is extra" for name in arrays.keys() - variables.keys()]
    faults += [
        f"{name} is {arrays[name].shape}, not {tuple(variables[name].shape)}"
        for name in variables.keys() & arrays.keys()
        if arrays[name].shape != tuple(variables[name].shape)
    ]
    if faults:
        raise RunError(f"{source} doesn't fit {model.name}: {', '.join(sorted(faults))}")
    for name, variable in variables.items():
        variable.assign(arrays[name])
