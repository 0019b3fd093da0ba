"""Read PyTorch's checkpoints without PyTorch, and without running code in them.

A checkpoint is a pickle, which can name any function for Python to call. Only what makes up a
dictionary of tensors is accepted here. Both layouts are read: the zip archive of PyTorch 1.6
and later, and the older sequence of pickles followed by raw storages.
"""

import collections
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tfmodels.errors import RunError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
DTYPES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a `.pth` file by name.

    Raises:
        RunError: the file is missing, damaged, holds something else than a dictionary of
            tensors, or imports anything else.
    """
    try:
        with path.open("rb") as file:
            state = _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    except RunError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise RunError(
            f"{path} can't be read as a PyTorch checkpoint ({type(error).__name__}: {error}): "
            "is it complete?"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, np.ndarray) for name, tensor in state.items()
    ):
        raise RunError(f"{path} holds something else than a dictionary of tensors")
    return dict(state)


def _read_zip(file: Any) -> Any:
    with zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = name.removesuffix("/data.pkl")
        if f"{folder}/byteorder" in archive.namelist():
            order = archive.read(f"{folder}/byteorder").decode()
            if order != "little":
                raise RunError(
                    f"the checkpoint's byte order is {order}: only little-endian is read"
                )

        def load(kind: str, key: str, count: int) -> np.ndarray:
            """Return the numbers of a storage, from its own file in the archive."""
            return np.frombuffer(archive.read(f"{folder}/data/{key}"), DTYPES[kind], count)

        return _Unpickler(io.BytesIO(archive.read(name)), load).load()


def _read_legacy(file: Any) -> Any:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    storages: dict[str, np.ndarray] = {}

    def load(kind: str, key: str, count: int) -> np.ndarray:
        """Return an array of the storage's size, to be filled when its bytes are read."""
        dtype = np.dtype(DTYPES[kind])
        if count * dtype.itemsize > size:
            raise ValueError(f"storage {key} is larger than the file")
        return storages.setdefault(key, np.empty(count, dtype))

    magic, _, _, state, keys = (_Unpickler(file, load).load() for _ in range(5))
    if magic != LEGACY_MAGIC:
        raise ValueError("not a PyTorch file")
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != len(storage):
            raise ValueError(f"storage {key} has {count} elements, not {len(storage)}")
        storage[:] = np.frombuffer(file.read(storage.nbytes), storage.dtype)
    return state


class _Unpickler(pickle.Unpickler):
    """Unpickles dictionaries, numbers, strings and tensors, and nothing that runs code."""

    def __init__(self, file: Any, load: Callable[[str, str, int], np.ndarray]) -> None:
        super().__init__(file, encoding="utf-8")
        self.load_storage = load

    def find_class(self, module: str, name: str) -> Any:
        """Return what tensors need, and nothing else."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in DTYPES:
            return name
        raise RunError(f"the checkpoint wants to import {module}.{name}: refused")

    def persistent_load(self, pid: Any) -> np.ndarray:
        """Return the numbers of a tensor's storage."""
        _, kind, key, _, count = pid[:5]
        return self.load_storage(kind, key, count)


def _rebuild_tensor(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> np.ndarray:
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    outside = math.prod(shape) and not offset <= last < len(storage)
    if offset < 0 or min((*shape, *strides), default=0) < 0 or outside:
        raise ValueError(f"a tensor of shape {shape} reaches beyond its storage")
    steps = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
