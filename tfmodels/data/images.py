"""Image data: the images, ids and labels of three splits."""

import dataclasses
import hashlib
import os
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tfmodels.config import Config
from tfmodels.data.augmentation import crop_and_flip
from tfmodels.data.catalog import dataset_spec
from tfmodels.errors import UsageError, first_names

Arrays = Sequence[np.ndarray]  # images, labels and perhaps ids


class Images(Protocol):
    """Images that are read by index; a numpy array is one."""

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at indices (k,) as (k, height, width, 3) uint8."""


@dataclasses.dataclass(frozen=True)
class Selected:
    """Some rows of other images, in an order of their own.

    Attributes:
        images: all images.
        rows: (n,) indices of those that are selected.
    """

    images: Images
    rows: np.ndarray

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at indices (k,) as (k, height, width, 3) uint8."""
        return self.images[self.rows[indices]]


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of one split, in a fixed order.

    Attributes:
        images: the images, indexed from 0 to n - 1.
        ids: (n,) str, one for each image.
        labels: (n,) int64, indices of class names.
    """

    images: Images = dataclasses.field(repr=False)
    ids: np.ndarray = dataclasses.field(repr=False)
    labels: np.ndarray = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: np.ndarray) -> "Split":
        """Return the examples at some rows, in the order of the rows."""
        return Split(Selected(self.images, rows), self.ids[rows], self.labels[rows])

    def named(self, ids: Sequence[str]) -> "Split":
        """Return the examples of some ids, in the order that they have here."""
        return self.select(np.flatnonzero(np.isin(self.ids, ids)))


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A data set for image classification with its splits.

    Attributes:
        name: of the data set.
        version: of the data set.
        class_names: in the order of the labels.
        image_shape: height, width and 3.
        train: examples to learn from.
        val: examples to choose epochs, settings and fusion weights by.
        test: examples to report the metrics of.
        split_description: how the images were split, and what that means for the metrics.
        augment: varies a batch of training images; see `augmentation`.
        checksum: identifies images and ids, whatever the split: the key of cached features.
        notes: what a user must know, such as class imbalance or skipped files.
    """

    name: str
    version: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train: Split
    val: Split
    test: Split
    split_description: str
    augment: Callable[..., Any]
    checksum: str
    notes: tuple[str, ...] = ()

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str], **settings: Any) -> "ImageData":
        """Load a folder of images; see `tfmodels.data.folder`.

        Args:
            path: of the folder.
            settings: as of `Config`, such as `skip_damaged`, `split_scheme`, `seed`.

        Raises:
            UsageError: there is no such folder, or a setting doesn't fit it.
            RunError: files are damaged or aren't images.
        """
        return load_data(Config(data=os.path.abspath(path), **settings))

    @classmethod
    def from_arrays(
        cls,
        train: Arrays,
        val: Arrays,
        test: Arrays,
        class_names: Sequence[str],
        name: str = "arrays",
        augment: Callable[..., Any] = crop_and_flip,
    ) -> "ImageData":
        """Make image data from arrays, of which each split has a tuple.

        Args:
            train: images (n, height, width, 3) uint8, labels (n,) of integers and, if they have
                names, ids (n,); without ids, they are "train-00000" and so on.
            val: the same for validation.
            test: the same for testing.
            class_names: in the order of the labels.
            name: of the data set.
            augment: varies a batch of training images.

        Raises:
            UsageError: shapes, types, labels, ids or class names don't fit; the message names the
                parameter.
        """
        _check_class_names(class_names)
        given = {"train": train, "val": val, "test": test}
        splits = {split: _split(split, arrays, len(class_names)) for split, arrays in given.items()}
        shapes = {split: arrays[0].shape[1:] for split, arrays in given.items()}
        if len(set(shapes.values())) > 1:
            sizes = ", ".join(f"{split} {shape}" for split, shape in shapes.items())
            raise UsageError(f"images have several shapes: {sizes}; scale them to one")
        ids = np.concatenate([split.ids for split in splits.values()])
        names, counts = np.unique(ids, return_counts=True)
        if counts.max() > 1:
            raise UsageError(f"ids occur more than once: {first_names(names[counts > 1].tolist())}")
        digest = hashlib.sha256("\n".join(ids).encode())
        for images, *_ in given.values():
            for start in range(0, len(images), 1000):  # a map of a file isn't read as a whole
                digest.update(np.ascontiguousarray(images[start : start + 1000]).data)
        return cls(
            name=name,
            version="",
            class_names=tuple(class_names),
            image_shape=shapes["train"],
            train=splits["train"],
            val=splits["val"],
            test=splits["test"],
            split_description="arrays that were split by the caller",
            augment=augment,
            checksum=digest.hexdigest(),
        )

    def limited(self, limit: int | None, seed: int) -> "ImageData":
        """Return at most `limit` images of each split, chosen by the seed.

        Raises:
            UsageError: the training split has fewer.
        """
        if limit is None:
            return self
        if limit > len(self.train):
            raise UsageError(
                f"`limit` is {limit}: the training split of {self.name} has {len(self.train)} "
                "images"
            )

        def choose(split: Split) -> Split:
            """Return the first of a random order, in the order that they had."""
            order = np.random.default_rng(seed).permutation(len(split))
            return split.select(np.sort(order[:limit]))

        return dataclasses.replace(
            self, train=choose(self.train), val=choose(self.val), test=choose(self.test)
        )


def load_data(config: Config) -> ImageData:
    """Load the images and splits that a config names.

    Raises:
        UsageError: the config doesn't fit the data.
        RunError: the data isn't there, can't be downloaded, or is damaged.
    """
    data: ImageData = pkgutil.resolve_name(dataset_spec(config.data).loader)(config)
    return data.limited(config.limit, config.seed_of_split())


def _check_class_names(names: Sequence[str]) -> None:
    fits = not isinstance(names, str) and all(
        isinstance(name, str) and name and name.isprintable() for name in names
    )
    if not fits or len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(
            f"`class_names` is {names!r}: it must be two or more different names, without control "
            "characters"
        )


def _split(name: str, arrays: Arrays, classes: int) -> Split:
    if len(arrays) not in (2, 3):
        raise UsageError(f"`{name}` must be (images, labels) or (images, labels, ids)")
    images, labels = arrays[0], np.asarray(arrays[1])
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not images.size:
        raise UsageError(
            f"`{name}` has images {images.shape} {images.dtype}: they must be "
            "(n, height, width, 3) uint8"
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"`{name}` has labels {labels.shape} {labels.dtype}: they must be ({len(images)},) of "
            "integers, one for each image"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise UsageError(
            f"`{name}` has labels from {labels.min()} to {labels.max()}: they must be from 0 to "
            f"{classes - 1}, as there are {classes} class names"
        )
    default = [f"{name}-{index:05d}" for index in range(len(images))]
    ids = np.asarray(arrays[2] if len(arrays) == 3 else default)
    if ids.shape != labels.shape or ids.dtype.kind != "U":
        raise UsageError(
            f"`{name}` has ids {ids.shape} {ids.dtype}: they must be ({len(images)},) of str"
        )
    return Split(images, ids, labels.astype(np.int64))
