"""AlexNet's weights from other frameworks, converted to Keras' layouts."""

import mmap
import os
import re
from pathlib import Path
from typing import IO, Any, cast

import keras
import numpy as np
import safetensors.numpy

from tfmodels.download import cache_dir, download
from tfmodels.errors import RunError
from tfmodels.models.weights import torch_checkpoint
from tfmodels.models.weights.limits import Allowance, fault, largest_size
from tfmodels.models.weights.pickles import unpickle
from tfmodels.safe_files import open_file, read_arrays

LARGEST_HEADER = 2**20  # bytes of names and shapes in a file; AlexNet's have under 2,000

TORCHVISION_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
TORCHVISION_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"

# Names of our layers -> names of torchvision's.
TORCHVISION_LAYERS = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "dense1": "classifier.1",
    "dense2": "classifier.4",
    "logits": "classifier.6",
}
# Names of Caffe's layers -> names of ours.
BVLC_LAYERS = {f"conv{i}": f"conv{i}" for i in range(1, 6)} | {
    "fc6": "dense1",
    "fc7": "dense2",
    "fc8": "logits",
}


def torchvision_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights of torchvision's AlexNet for ImageNet's 1,000 classes.

    The checkpoint is downloaded once, kept in the project's cache folder and verified each time.

    Raises:
        RunError: it isn't the right file.
        OSError: the download failed or broke off, or there is no room for it.
    """
    path = cache_dir() / "weights" / TORCHVISION_URL.rsplit("/", 1)[-1]
    download(TORCHVISION_URL, path, TORCHVISION_SHA256)
    return read_checkpoint(path, largest_size(model))


def read_checkpoint(path: Path, most: int) -> dict[str, np.ndarray]:
    """Read a `.pth` file of torchvision's AlexNet, whose tensors may take `most` bytes."""
    return from_torchvision(torch_checkpoint.read_checkpoint(path, most))


def read_safetensors(path: Path, most: int) -> dict[str, np.ndarray]:
    """Read a `.safetensors` file of at most `most` bytes, with torchvision's names or ours."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        header = int.from_bytes(file.read(8), "little")
    if header > LARGEST_HEADER:
        raise ValueError(f"a header of {header:,} bytes")
    Allowance(path, most).take(size - header)
    return from_torchvision(safetensors.numpy.load_file(path))


def read_npz(path: Path, most: int) -> dict[str, np.ndarray]:
    """Read an `.npz` file of at most `most` bytes, with torchvision's names or ours."""
    return from_torchvision(read_arrays(path, most))


def from_torchvision(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename and transpose the tensors of torchvision's AlexNet.

    Convolutions go from (out, in, height, width) to (height, width, in, out), dense kernels
    from (out, in) to (in, out), and the first dense layer's inputs from the order channel,
    row, column to row, column, channel. Other tensors keep their names and are refused later.
    """
    state = dict(state)
    arrays = {}
    for ours, theirs in TORCHVISION_LAYERS.items():
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


def read_bvlc(path: Path, most: int) -> dict[str, np.ndarray]:
    """Read `bvlc_alexnet.npy`, Caffe's reference AlexNet as it is commonly distributed.

    A pickled dictionary of layer -> [kernel, bias], kernels (height, width, in, out). Its first
    kernel is for BGR images and is converted to RGB here. Only what makes up arrays of numbers
    is unpickled.

    Args:
        path: of the file.
        most: bytes that its weights may take.

    Raises:
        RunError: the file is missing, damaged, too large, something else, or imports anything
            more.
    """
    try:
        with (
            open_file(path) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            Allowance(path, most).take(len(content) - LARGEST_HEADER)
            np.lib.format.read_magic(content)
            np.lib.format.read_array_header_1_0(content)
            layers = _unpickle_arrays(path, cast(IO[bytes], content), Allowance(path, most))
        arrays, allowance = {}, Allowance(path, most)
        for theirs, ours in BVLC_LAYERS.items():
            if theirs in layers:
                kernel, bias = layers[theirs]
                arrays[f"{ours}/kernel"] = kernel.array(allowance)
                arrays[f"{ours}/bias"] = bias.array(allowance)
        if arrays["conv1/kernel"].ndim == 4:
            arrays["conv1/kernel"] = arrays["conv1/kernel"][:, :, ::-1]
    except RunError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise RunError(
            f"{path} can't be read as bvlc_alexnet.npy ({fault(error)}): is it complete?"
        ) from error
    return arrays


def _unpickle_arrays(path: Path, file: IO[bytes], allowance: Allowance) -> Any:
    """Return the object of a pickled array of one, its arrays as stand-ins for NumPy's.

    NumPy's own would trust the file: a forged state of a dtype can crash the process.
    """

    def encode(text: str, _: str) -> bytes:
        """Return the bytes that Python 3 wrote as text, which a pickle can ask for many times."""
        allowance.take(len(text))
        return text.encode("latin1")

    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): encode,
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = lambda *_: _Array()
    return unpickle(path, file, names, encoding="latin1").item()


class _Dtype:
    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.content = state

    def item(self) -> Any:
        """Return the one object of an array of objects."""
        (item,) = self.content
        return item

    def array(self, allowance: Allowance) -> np.ndarray:
        """Return the array of numbers."""
        code = f"{self.dtype.order}{self.dtype.code}"
        if not re.fullmatch("[<>=|][biufc][0-9]{1,2}", code):
            raise ValueError(f"an array of {code!r}")
        content = self.content  # a string where Python 2 wrote the file
        allowance.take(len(content))
        raw = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(raw, code).reshape(self.shape, order="F" if self.fortran else "C")
