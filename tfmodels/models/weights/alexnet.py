"""AlexNet's weights from other frameworks, converted to Keras' layouts."""

import codecs
import pickle
from pathlib import Path
from typing import Any

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
# Layers of Caffe's AlexNet by name there.
BVLC = {f"conv{i}": f"conv{i}" for i in range(1, 6)} | {
    "fc6": "dense1",
    "fc7": "dense2",
    "fc8": "logits",
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


def read_bvlc(path: Path) -> dict[str, np.ndarray]:
    """Read `bvlc_alexnet.npy`, Caffe's reference AlexNet as it is widely passed around.

    A pickled dictionary of layer -> [kernel, bias], kernels (height, width, in, out), the first
    for pictures in the order blue, green, red: its channels are turned round here. Only what
    makes up NumPy arrays is unpickled.

    Raises:
        RunError: the file is missing, damaged, something else, or wants to import anything more.
    """
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            layers = _ArrayUnpickler(file, encoding="latin1").load().item()
        arrays = {}
        for theirs, ours in BVLC.items():
            if theirs in layers:
                arrays[f"{ours}/kernel"], arrays[f"{ours}/bias"] = map(np.array, layers[theirs])
        arrays["conv1/kernel"] = arrays["conv1/kernel"][:, :, ::-1]
    except RunError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise RunError(
            f"{path} can't be read as bvlc_alexnet.npy ({type(error).__name__}: {error}): "
            "is it complete?"
        ) from error
    return arrays


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Let through what NumPy's own arrays need, and nothing else."""
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np.empty(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in protocol 2
            return codecs.encode
        raise RunError(f"the file wants to import {module}.{name}: refused")
