"""A folder of images as a data set.

It holds a folder for each class, whose name is the class' name; or folders `train`, `test` and
perhaps `val` that do. Images are JPEG, PNG, WebP or TIFF files (see `files`), in the folder of
their class or in folders in it; hidden files are ignored, and so are files outside the folders of
classes. Links are refused, because an image that is there twice could both train and test. The id
of an image is its path in the folder, such as "class/name.jpg".
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfmodels.config import Config
from tfmodels.data.augmentation import turn_shift_brighten
from tfmodels.data.files import FileImages, check_files
from tfmodels.data.images import ImageData, Split
from tfmodels.data.splits import (
    SPLITS,
    Lists,
    check_split,
    describe_split,
    describe_stratified,
    left_out,
    named_split,
    stratified_split,
)
from tfmodels.data.store import Examples, open_store
from tfmodels.errors import RunError, UsageError, first_names
from tfmodels.runs.contents import LONGEST_ID

LEAST = 5  # images of a class, so that each split can hold one
LARGEST_STORED = 256  # pixels of a side; larger images are read from their files
IMBALANCE = 1.5  # ratio of class sizes from which it is noted
TRAIN_IMAGE = re.compile("train/[^/]+$")
NO_TEST = (
    "{} holds train, but no images in test: add a folder test, or put the folders of classes into "
    "one folder, without train"
)
BATCH = 500  # images that are stored at a time
UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and no UTF-8


def load(config: Config) -> ImageData:
    """Load a folder of images.

    Square images of one size, up to 256x256 pixels, are decoded once and kept at this size (see
    `store`). Others are read from their files whenever they are needed, scaled to squares of
    `image_size`, and what is beyond the square is cut off, so nothing is distorted.

    Raises:
        UsageError: the folder doesn't hold classes of images, or the split scheme doesn't fit it.
        RunError: files are damaged or aren't images, unless they are to be skipped.
    """
    root = Path(config.data).resolve()
    depth = 1 if config.split_scheme == "folders" else 0  # of the folders of classes
    class_names, names = _find(root, depth)
    key = _key(root, names)
    common_size, damaged = check_files(root, names, key)
    if damaged and not config.skip_damaged:
        raise RunError(
            f"{root}: {len(damaged)} of {len(names)} files can't be read: "
            f"{first_names(list(damaged.values()))}; remove them, or leave them out with "
            "`skip_damaged=True`"
        )
    classes = {name: name.split("/")[depth] for name in names if name not in damaged}
    ids = np.array(list(classes))
    labels = np.searchsorted(class_names, list(classes.values())).astype(np.int64)
    notes = _notes(root, class_names, labels, list(damaged.values()))
    lists = _folders(root, classes, config.seed_of_split()) if depth else _lists(classes, config)

    height, width = common_size or (0, 0)
    stored = 0 < height == width <= LARGEST_STORED
    side = height if stored else config.image_size
    everything = Split(FileImages(root, ids, (side, side)), ids, labels)
    if stored:
        everything = _store(root.name, key, everything, side)

    return ImageData(
        name=root.name,
        version="",
        class_names=tuple(class_names),
        image_shape=(side, side, 3),
        train=everything.named(lists["train"]),
        val=everything.named(lists["val"]),
        test=everything.named(lists["test"]),
        split_description=_describe(root, config),
        augment=turn_shift_brighten,
        checksum=hashlib.sha256(f"{key} {(side, side)}".encode()).hexdigest(),
        notes=notes + left_out(lists, classes),
    )


def _find(root: Path, depth: int) -> tuple[list[str], list[str]]:
    """Return the sorted names of classes and ids of files."""
    classes: set[str] = set()
    ids, links = [], []
    for folder, names, files in os.walk(root, onerror=_raise):
        names[:] = sorted(name for name in names if not name.startswith("."))
        parts = Path(folder).relative_to(root).parts
        if len(parts) == depth:
            classes.update(names)
        inside = len(parts) > depth
        images = [name for name in files if inside and not name.startswith(".")]
        ids += ["/".join([*parts, name]) for name in images]
        paths = [os.path.join(folder, name) for name in (*names, *images)]
        links += [path for path in paths if os.path.islink(path)]
    if links:
        raise UsageError(
            f"{root} holds links: {first_names(sorted(links))}; put the files themselves there, "
            "each once"
        )
    unwritable = [name for name in ids if UNWRITABLE.search(name) or len(name) > LONGEST_ID]
    if unwritable:
        raise UsageError(
            f"{root} holds {unwritable[0]!r}: rename it, without control characters, in UTF-8, in "
            f"at most {LONGEST_ID} characters"
        )
    if depth == 0 and "train" in classes and not any(TRAIN_IMAGE.match(name) for name in ids):
        raise UsageError(NO_TEST.format(root))  # not a class, but a folder of classes
    if len(classes) < 2:
        raise UsageError(
            f"{root} holds {len(classes)} folders of classes, and at least 2 are needed: put the "
            "images of each class into a folder of its own"
        )
    return sorted(classes), sorted(ids)


def _raise(error: OSError) -> None:
    raise error


def _key(root: Path, ids: list[str]) -> str:
    digest = hashlib.sha256()
    for name in ids:
        stat = os.stat(root / name)
        digest.update(f"{name}\n{stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _notes(
    root: Path, class_names: list[str], labels: np.ndarray, damaged: list[str]
) -> tuple[str, ...]:
    counts = np.bincount(labels, minlength=len(class_names))
    least, most = counts.min(), counts.max()
    if least < LEAST:
        name = class_names[int(counts.argmin())]
        raise UsageError(
            f"{root}: class {name} has {least} images, and at least {LEAST} are needed: add some, "
            "or remove its folder"
        )
    notes = []
    if damaged:
        notes.append(
            f"{len(damaged)} files that can't be read are left out: {first_names(damaged)}"
        )
    if most > IMBALANCE * least:
        notes.append(f"classes hold {least} to {most} images (class weights can balance them)")
    return tuple(notes)


def _lists(classes: dict[str, str], config: Config) -> Lists:
    if config.split_scheme == "random":
        return stratified_split(classes, config.seed_of_split())
    return named_split(config.split_scheme, classes, config.seed_of_split())


def _folders(root: Path, classes: dict[str, str], seed: int) -> Lists:
    """Return the names in the folders train, val and test; without val, a fifth of train."""
    lists: Lists = {split: [] for split in SPLITS}
    for name in classes:
        split = name.split("/")[0]
        if split not in lists:
            raise UsageError(
                f"{root} holds a folder {split}: it must be one of {', '.join(SPLITS)}"
            )
        lists[split].append(name)
    if not lists["test"]:
        raise UsageError(NO_TEST.format(root))
    if not lists["val"]:
        train = {name: classes[name] for name in lists["train"]}
        lists |= stratified_split(train, seed, splits=("train", "val"))
    check_split(lists, classes, str(root))
    return lists


def _describe(root: Path, config: Config) -> str:
    seed = config.seed_of_split()
    if config.split_scheme == "random":
        return f"{describe_stratified(seed)} (the split scheme group:SEPARATOR mends that)"
    if config.split_scheme == "folders":
        val = (root / "val").is_dir()
        return (
            "the folders train, val and test"
            if val
            else (f"the folders train and test; a fifth of train validates, seed {seed}")
        )
    return describe_split(config.split_scheme, seed, leaks=False)


def _store(name: str, key: str, examples: Split, side: int) -> Split:
    """Return the same examples, their images decoded once and kept."""

    def decode() -> Iterator[Examples]:
        """Read the images in batches."""
        for start in range(0, len(examples), BATCH):
            rows = np.arange(start, min(start + BATCH, len(examples)))
            images, ids = examples.images[rows], examples.ids[rows]
            yield Examples(images, ids, examples.labels[rows], np.full(len(rows), "all"))

    store = open_store(name, key, (len(examples), side, side, 3), decode)
    return dataclasses.replace(examples, images=store.images)
