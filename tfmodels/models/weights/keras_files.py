"""Read Keras' own files of weights, `.weights.h5` and `.keras`, so that they can be checked.

Keras' `load_weights` sets what fits before it finds what doesn't, and names one example of it. It
also turns anything into float32, and believes what a file claims up to 4 GiB.
"""

import math
import shutil
import tempfile
import warnings
from pathlib import Path

import h5py
import keras
import ml_dtypes
import numpy as np

from tfmodels.errors import RunError
from tfmodels.models.weights.limits import Allowance
from tfmodels.models.weights.setting import FLOATS, is_finite, named_weights
from tfmodels.safe_files import open_file, open_zip, printable

MEMBER = "model.weights.h5"  # the weights in a .keras file
OPTIMIZER = "optimizer"  # the group of its state, which isn't read


def read_keras(path: Path, model: keras.Model, most: int) -> dict[str, np.ndarray]:
    """Return the weights of a model that a file has with the right shape, by `layer/weight`.

    The file can be of the whole network, or of the model that is nested in it. Of a `.keras`
    file only the weights are read, not the model, and of both not the state of an optimizer.

    Args:
        path: of the file.
        model: whose weights are read; it isn't changed.
        most: bytes that the weights may take.

    Raises:
        RunError: the file claims more, holds links, or weights that aren't finite numbers.
        Exception: of many kinds, where the file is missing or damaged.
    """
    # Without the optimizer of the model: Keras would load that, too.
    uncompiled = keras.Model(model.inputs, model.outputs)
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    with tempfile.TemporaryDirectory() as folder:
        weights = path
        if path.suffix == ".keras":
            weights = Path(folder) / MEMBER
            _extract(path, weights, most)
        _check_weights(path, weights, most)
        return max((_read_into(part, weights) for part in (uncompiled, *nested)), key=len)


def _extract(path: Path, weights: Path, most: int) -> None:
    """Copy the weights out of a `.keras` file, to be read in place, and not as a stream."""
    with open_file(path) as file, open_zip(file) as archive:
        # An optimizer's state takes up to three times as much as the weights.
        Allowance(path, 2 * most + 2**20).take(archive.getinfo(MEMBER).file_size)
        with archive.open(MEMBER) as member, weights.open("wb") as copy:
            shutil.copyfileobj(member, copy)


def _check_weights(path: Path, weights: Path, most: int) -> None:
    """Check all that Keras might read of an HDF5 file.

    Args:
        path: for messages.
        weights: the HDF5 file.
        most: bytes that the weights may take.

    Raises:
        RunError: it holds something else than finite numbers, or more of them.
    """
    allowance = Allowance(path, most)
    with h5py.File(weights, "r") as file:
        items, seen = [file], set()
        while items:
            item = items.pop()
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:  # a group can hold itself
                raise RunError(f"{path}: {printable(item.name)} is there twice: refused")
            seen.add(place)
            if isinstance(item, h5py.Dataset):
                _check_weight(f"{path}: {printable(item.name)}", item, allowance)
                continue
            for name in item:
                link = item.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    what = printable(f"{item.name}/{name}")
                    raise RunError(f"{path}: {what} is a {type(link).__name__}: refused")
                if (item.name, name) != ("/", OPTIMIZER):
                    items.append(item[name])


def _check_weight(name: str, weight: h5py.Dataset, allowance: Allowance) -> None:
    if weight.external or weight.is_virtual:
        raise RunError(f"{name} lies in another file: refused")
    if weight.id.get_create_plist().get_nfilters():  # it could become any size
        raise RunError(f"{name} is compressed: save the weights again as Keras does, without")
    chunk = math.prod(weight.chunks or ()) * weight.dtype.itemsize
    allowance.take(max(weight.nbytes, chunk))
    # As Keras writes it.
    bfloat16 = weight.dtype == "V2" and weight.attrs.get("dtype") == "bfloat16"
    if not bfloat16 and weight.dtype.name not in FLOATS:
        kind = printable(str(weight.dtype))
        raise RunError(f"{name} holds {kind}: weights must be one of {', '.join(FLOATS)}")
    if not is_finite(weight[()].view(ml_dtypes.bfloat16) if bfloat16 else weight[()]):
        raise RunError(f"{name} holds numbers that aren't finite as float32")


def _read_into(model: keras.Model, path: Path) -> dict[str, np.ndarray]:
    """Load the file over NaNs, return the weights that it replaced, and restore the model."""
    before = [(variable, np.array(variable)) for variable in model.variables]
    try:
        for weight in model.weights:
            weight.assign(keras.ops.full(weight.shape, np.nan, weight.dtype))
        with warnings.catch_warnings(action="ignore"):  # one for each layer that doesn't fit
            model.load_weights(path, skip_mismatch=True)
        arrays = named_weights(model)
        return {name: array for name, array in arrays.items() if not np.isnan(array).all()}
    finally:
        for variable, value in before:
            variable.assign(value)
