"""Decoded images of one size, or their features, kept in a file that is read by index.

The file is mapped to memory, so it takes no memory of the process' own and all runs share it.
It lies in `cache_dir()/images`, in a folder that is named after the data set and the key of its
source, and may be deleted at any time: it is decoded again, as it is if it was changed.
"""

import contextlib
import dataclasses
import errno
import hashlib
import math
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from tqdm import tqdm

from tfmodels.data.images import Split
from tfmodels.download import cache_dir
from tfmodels.errors import RunError
from tfmodels.runs.contents import LONGEST_ID
from tfmodels.safe_files import PART, open_file, read_arrays, write_arrays

IMAGES, EXAMPLES = "images", "examples.npz"  # the files of a store


@dataclasses.dataclass(frozen=True)
class Examples:
    """Some images and what is known of them.

    Attributes:
        images: (n, height, width, 3) uint8, or their features (n, size) float32.
        ids: (n,) str.
        labels: (n,) int64.
        splits: (n,) str, the split of the source that an example is from.
    """

    images: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    splits: np.ndarray


@dataclasses.dataclass(frozen=True)
class Store(Examples):
    """All examples of a data set, their images in a file.

    Attributes:
        checksum: of images and ids.
    """

    checksum: str

    def select(self, rows: np.ndarray) -> Split:
        """Return the examples at some rows."""
        return Split(self.images, self.ids, self.labels).select(rows)


class _DamagedError(Exception):
    """The store isn't as it was written."""


@dataclasses.dataclass(frozen=True)
class _Source:
    """What a store is made from.

    Attributes:
        name: of the data set.
        key: a hash of its source.
        shape: of all images.
        dtype: of the images.
    """

    name: str
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.name} {self.key} {self.shape} {self.dtype.str}"

    @property
    def size(self) -> int:
        """Bytes of all images."""
        return math.prod(self.shape) * self.dtype.itemsize


def open_store(
    name: str,
    key: str,
    shape: tuple[int, ...],
    decode: Callable[[], Iterator[Examples]],
    dtype: type = np.uint8,
) -> Store:
    """Open the decoded images of a data set, decoding them first if they aren't there.

    Args:
        name: of the data set.
        key: a hash of its source: another key is another file.
        shape: of all images.
        decode: returns all examples in batches, with ids of at most `LONGEST_ID` characters.
        dtype: of the images.

    Raises:
        RunError: something that isn't ours lies where the store is to be.
        OSError: the file can't be written; the disk is full, for example.
    """
    source = _Source(name, key, shape, np.dtype(dtype))
    path = cache_path(name, key)
    with contextlib.suppress(FileNotFoundError, _DamagedError):
        return _read(path, source)
    with locked(path, name):
        try:
            return _read(path, source)
        except FileNotFoundError:
            pass
        except _DamagedError:
            print(f"{path} is damaged: the images are decoded again", file=sys.stderr)
        _check_space(path.parent, source.size)
        print(f"preparing {name}, once, into {path}", file=sys.stderr)
        _write(path, source, decode())
        try:
            return _read(path, source)
        except _DamagedError as error:
            raise RunError(f"{path} isn't as it was written: is the disk damaged?") from error


def cache_path(name: str, key: str) -> Path:
    """Return the path for what is kept of a data set, in a folder that is made if it isn't there.

    Raises:
        OSError: the folder can't be made.
    """
    folder = cache_dir() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    # The start of a name: file names have 255 bytes.
    return folder / (re.sub(r"[^\w.-]+", "-", name)[:50] + f"-{key[:16]}")


@contextlib.contextmanager
def locked(path: Path, name: str) -> Iterator[None]:
    """Let no other process make what is kept at a path; the system unlocks it if this one ends."""
    lock = filelock.FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"another process prepares {name}: waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _read(path: Path, source: _Source) -> Store:
    """Read a store and check that it is as it was written.

    Raises:
        FileNotFoundError: it isn't there.
        _DamagedError: it was changed, or is of another source.
        PermissionError: it may not be read.
    """
    if not os.path.lexists(path):
        raise FileNotFoundError(path)
    n = source.shape[0]
    try:
        arrays = read_arrays(path / EXAMPLES, n * 4 * (LONGEST_ID + 100) + 2**16)
        seal = arrays.pop("seal").item()
        if seal != _seal(arrays) or arrays["source"].item() != str(source):
            raise _DamagedError
        with open_file(path / IMAGES) as file:
            if os.fstat(file.fileno()).st_size != source.size:
                raise _DamagedError
            recorded = arrays["sha256"].item()
            if hashlib.file_digest(file, "sha256").hexdigest() != recorded:
                raise _DamagedError
            images = np.asarray(np.memmap(file, source.dtype, "r", shape=source.shape))
    except (RunError, OSError, KeyError, ValueError) as error:
        if isinstance(error.__cause__ or error, PermissionError):
            raise error.__cause__ or error from None
        raise _DamagedError from error
    digest = hashlib.sha256(recorded.encode())
    for name in arrays["ids"]:  # one by one: millions of Python's strings take memory
        digest.update(f"\n{name}".encode())
    return Store(images, arrays["ids"], arrays["labels"], arrays["parts"], digest.hexdigest())


def _seal(arrays: Mapping[str, np.ndarray]) -> str:
    """Return a hash of all that is known of the images, and of their own."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _write(path: Path, source: _Source, batches: Iterator[Examples]) -> None:
    _discard(path)
    for left in path.parent.glob(f"{PART}{'[0-9a-f]' * 16}-{path.name}"):  # by a killed process
        _discard(left)
    part = path.with_name(f"{PART}{secrets.token_hex(8)}-{path.name}")
    part.mkdir()
    try:
        _write_examples(part, source, batches)
        part.rename(path)
    except OSError as error:
        error.filename = error.filename or str(path.parent)  # a full disk has none
        raise
    finally:
        _discard(part)


def _discard(path: Path) -> None:
    """Delete a store or what has taken its place, but nothing that isn't ours.

    Raises:
        RunError: it holds something else.
        OSError: it can't be deleted.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    names = os.listdir(path)
    foreign = [
        name for name in names if name not in (IMAGES, EXAMPLES) and not name.startswith(PART)
    ]
    if foreign:
        raise RunError(f"{path} holds {foreign[0]!r}, which isn't ours: move it elsewhere")
    for inner in (path / name for name in names):
        inner.rmdir() if inner.is_dir() and not inner.is_symlink() else inner.unlink()
    path.rmdir()


def _write_examples(folder: Path, source: _Source, batches: Iterator[Examples]) -> None:
    digest = hashlib.sha256()
    ids, labels, splits = [], [], []
    progress = tqdm(
        desc=source.name, total=source.shape[0], unit=" images", ncols=79, leave=False, disable=None
    )
    # Not written through a map: a full disk would end the process by a signal.
    with open(folder / IMAGES, "xb") as file, progress:
        for batch in batches:
            content = np.ascontiguousarray(batch.images).data
            digest.update(content)
            file.write(content)
            ids.append(batch.ids)
            labels.append(batch.labels)
            splits.append(batch.splits)
            progress.update(len(batch.ids))
    arrays = {
        "source": np.array(str(source)),
        "sha256": np.array(digest.hexdigest()),
        "ids": np.concatenate(ids),
        "labels": np.concatenate(labels),
        "parts": np.concatenate(splits),
    }
    seal = {"seal": np.array(_seal(arrays))}
    write_arrays(folder / EXAMPLES, arrays | seal)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"decoded images need {size / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free",
            str(folder),
        )
