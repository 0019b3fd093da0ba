"""Decoded images of one size, or their features, kept in a file that is read by index.

The file is mapped to memory, so it takes no memory of the process' own and all runs share it.
It lies in `cache_dir()/images`, in a folder that is named after the data set and the key of its
source, and may be deleted at any time: it is decoded again.
"""

import contextlib
import dataclasses
import errno
import hashlib
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import numpy as np
from tqdm import tqdm

from tfmodels.data.images import Split
from tfmodels.download import cache_dir


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
    """The file isn't as it was written."""


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
        decode: returns all examples in batches.
        dtype: of the images.

    Raises:
        OSError: the file can't be written; the disk is full, for example.
    """
    folder = cache_dir() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / re.sub(r"[^\w.-]+", "-", f"{name}-{key[:16]}")
    with contextlib.suppress(FileNotFoundError, _DamagedError):
        return _read(path)
    with filelock.FileLock(f"{path}.lock"):  # a second process waits for the first
        try:
            return _read(path)
        except FileNotFoundError:
            pass
        except _DamagedError:
            print(f"{path} is damaged: the images are decoded again", file=sys.stderr)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        _check_space(folder, size)
        print(f"preparing {name}, once, into {path}", file=sys.stderr)
        _write(path, name, shape, decode())
        return _read(path)


def _read(path: Path) -> Store:
    try:
        return _read_examples(path)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # NumPy and zipfile raise whatever their parsers do
        raise _DamagedError from error


def _read_examples(folder: Path) -> Store:
    with np.load(folder / "examples.npz") as file:
        ids, labels, splits = (file[key] for key in ("ids", "labels", "parts"))
        shape, dtype = tuple(file["shape"].tolist()), file["dtype"].item()
        recorded = file["sha256"].item()
    with open(folder / "images", "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != recorded:
            raise _DamagedError
    images = np.asarray(np.memmap(folder / "images", dtype, "r", shape=shape))
    checksum = hashlib.sha256("\n".join([recorded, *ids]).encode()).hexdigest()
    return Store(images, ids, labels, splits, checksum)


def _write(path: Path, name: str, shape: tuple[int, ...], batches: Iterator[Examples]) -> None:
    part = path.with_name(f"{path.name}.part")
    for leftover in (path, part):
        if leftover.exists():
            shutil.rmtree(leftover)
    part.mkdir()
    try:
        _write_examples(part, name, shape, batches)
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_examples(
    folder: Path, name: str, shape: tuple[int, ...], batches: Iterator[Examples]
) -> None:
    digest = hashlib.sha256()
    ids, labels, splits = [], [], []
    with (
        # Not written through a map: a full disk would end the process by a signal.
        open(folder / "images", "wb") as file,
        tqdm(
            desc=name, total=shape[0], unit=" images", ncols=79, leave=False, disable=None
        ) as progress,
    ):  # fmt: skip
        for batch in batches:
            content = np.ascontiguousarray(batch.images).data
            digest.update(content)
            file.write(content)
            ids.append(batch.ids)
            labels.append(batch.labels)
            splits.append(batch.splits)
            progress.update(len(batch.ids))
    np.savez(
        folder / "examples.npz",
        dtype=batch.images.dtype.str,
        ids=np.concatenate(ids),
        labels=np.concatenate(labels),
        parts=np.concatenate(splits),
        shape=shape,
        sha256=digest.hexdigest(),
    )


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"decoded images need {size / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free",
            str(folder),
        )
