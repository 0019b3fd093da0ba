"""Read PyTorch's checkpoints without PyTorch, and without running code in them.

A checkpoint is a pickle, which can name any function for Python to call. Only what makes up a
dictionary of tensors is accepted here, and what it claims is compared with what the network needs
before memory is taken. Both layouts are read: the zip archive of PyTorch 1.6
and later, and the older sequence of pickles followed by raw storages.
"""

import io
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import ml_dtypes
import numpy as np

from tfmodels.errors import RunError
from tfmodels.models.weights.limits import Allowance, fault
from tfmodels.models.weights.pickles import unpickle
from tfmodels.safe_files import open_file, open_zip, read_member

LARGEST_PICKLE = 2**20  # bytes; AlexNet's have 3,000, as tensors' numbers lie outside
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


def read_checkpoint(path: Path, most: int) -> dict[str, np.ndarray]:
    """Read the tensors of a `.pth` file by name.

    Args:
        path: of the file.
        most: bytes that they may take.

    Raises:
        RunError: the file is missing, damaged, too large, holds something else than a dictionary
            of tensors, or imports anything else.
    """
    try:
        with open_file(path) as file:
            read = _read_zip if zipfile.is_zipfile(file) else _read_legacy
            state = read(path, file, most)
    except RunError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise RunError(
            f"{path} can't be read as a PyTorch checkpoint ({fault(error)}): is it complete?"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, np.ndarray) for name, tensor in state.items()
    ):
        raise RunError(f"{path} holds something else than a dictionary of tensors")
    return dict(state)


def _read_zip(path: Path, file: BinaryIO, most: int) -> Any:
    with open_zip(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = name.removesuffix("/data.pkl")
        if f"{folder}/byteorder" in archive.namelist():
            order = read_member(archive, f"{folder}/byteorder", 10).decode()
            if order != "little":
                raise RunError(f"{path} has the byte order {order!r}: only little-endian is read")

        def load(key: str, count: int, dtype: np.dtype[Any]) -> np.ndarray:
            """Return the numbers of a storage, from its own file in the archive."""
            content = read_member(archive, f"{folder}/data/{key}", count * dtype.itemsize)
            return np.frombuffer(content, dtype, count)

        pickled = io.BytesIO(read_member(archive, name, LARGEST_PICKLE))
        return _unpickle_tensors(path, pickled, _Storages(path, load, most))


def _read_legacy(path: Path, file: BinaryIO, most: int) -> Any:
    # Of their sizes, and filled when their bytes are read.
    storages = _Storages(path, lambda _, count, dtype: np.empty(count, dtype), most)
    file.seek(0)
    pickled = io.BytesIO(file.read(LARGEST_PICKLE))
    magic, _, _ = (unpickle(path, pickled, {}) for _ in range(3))
    if magic != LEGACY_MAGIC:
        raise ValueError("not a PyTorch file")
    state = _unpickle_tensors(path, pickled, storages)
    keys = unpickle(path, pickled, {})
    file.seek(pickled.tell())
    for key in keys:
        storage = storages.loaded[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != len(storage):
            raise ValueError(f"storage {key!r} has {count} elements, not {len(storage)}")
        storage[:] = np.frombuffer(file.read(storage.nbytes), storage.dtype)
    return state


class _Storages:
    """The numbers that tensors are made of, each loaded once."""

    def __init__(
        self, path: Path, load: Callable[[str, int, np.dtype[Any]], np.ndarray], most: int
    ) -> None:
        self.load = load
        self.loaded: dict[str, np.ndarray] = {}
        self.of_storages, self.of_tensors = Allowance(path, most), Allowance(path, most)

    def find(self, pid: Any) -> np.ndarray:
        """Return the numbers of a storage by its id in the pickle."""
        _, kind, key, _, count = pid[:5]
        if not isinstance(key, str) or not _are_sizes(count):
            raise ValueError("a storage without a name or size")
        if key not in self.loaded:
            dtype = np.dtype(DTYPES[kind])
            self.of_storages.take(count * dtype.itemsize)
            self.loaded[key] = self.load(key, count, dtype)
        return self.loaded[key]

    def tensor(
        self, storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> np.ndarray:
        """Return a tensor, which may repeat numbers of its storage."""
        if not _are_sizes(offset, *shape, *strides):
            raise ValueError("a tensor whose shape isn't of whole numbers")
        self.of_tensors.take(math.prod(shape) * storage.itemsize)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if math.prod(shape) and last >= len(storage):
            raise ValueError(f"a tensor of shape {shape} reaches beyond its storage")
        steps = [step * storage.itemsize for step in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def _unpickle_tensors(path: Path, file: IO[bytes], storages: _Storages) -> Any:
    # Of functions made here, as a pickle can set their attributes.
    names: dict[tuple[str, str], Any] = {("torch", kind): kind for kind in DTYPES}
    names |= {
        ("collections", "OrderedDict"): _Dict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda *args: storages.tensor(*args[:4]),
        ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    }
    return unpickle(path, file, names, storages.find)


class _Dict(dict[str, Any]):
    """An OrderedDict, without the attributes that PyTorch gives it."""

    def __init__(self) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def _are_sizes(*values: Any) -> bool:
    return len(values) <= 100 and all(type(value) is int and 0 <= value < 2**48 for value in values)
