"""Data sets that TFDS (tensorflow_datasets) prepares: opened, downloaded and decoded.

TFDS trusts a prepared data set: it imports modules that `features.json` names, waits for pipes,
and takes the memory that records and images claim. So all of that is checked before TFDS reads it.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import mmap
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import downloader

from tfmodels.data.store import Examples, Store, cache_path, locked, open_store
from tfmodels.errors import RunError
from tfmodels.runs.contents import LONGEST_ID
from tfmodels.safe_files import checksum, open_file, printable, read_json

# One file after the other, in stored order: the same on every machine.
READ_CONFIG = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
BATCH = 500  # images that are decoded at a time
FEATURES = "tensorflow_datasets.core.features."  # where the classes of features may come from
LARGEST_TEXT = 2**20  # bytes of what describes a data set


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a prepared data set holds.

    Attributes:
        id_feature: name of the feature that identifies an example; without one, they are numbered.
        side: of the images, in pixels.
        class_names: in the order of the labels.
        sizes: number of examples of each split.
    """

    id_feature: str | None
    side: int
    class_names: tuple[str, ...]
    sizes: Mapping[str, int]


def open_builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """Return TFDS' builder of a data set that it has the code of.

    Args:
        name: of the data set.
        data_dir: folder of prepared data sets; None is TFDS' own.

    Raises:
        RunError: its files are there, but damaged.
    """
    for folder in sorted(Path(data_dir or default_dir(), name).expanduser().glob("*")):
        if tfds.core.Version.is_valid(folder.name):
            _check_folder(folder)
    return _open(data_dir or default_dir(), lambda: tfds.builder(name, data_dir=data_dir))


def open_prepared(folder: Path) -> tfds.core.DatasetBuilder:
    """Return TFDS' builder of a prepared data set that it has no code of.

    Raises:
        RunError: its files are damaged.
    """
    _check_folder(folder)
    return _open(folder, lambda: tfds.builder_from_directory(folder))


def _open(where: Path | str, make: Callable[[], Any]) -> tfds.core.DatasetBuilder:
    try:
        return make()
    except (ImportError, OSError):
        raise
    except Exception as error:  # TFDS raises whatever its parsers do
        raise _damaged(where, error) from error


def default_dir() -> str:
    """Return TFDS' own folder: TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return str(tfds.core.constants.DATA_DIR)


@contextlib.contextmanager
def preparing(name: str, data_dir: str | Path | None) -> Iterator[None]:
    """Let no other process of this machine prepare the same data set in the same folder."""
    folder = Path(data_dir or default_dir()).resolve()
    path = cache_path(f"preparing-{name}", hashlib.sha256(os.fsencode(folder)).hexdigest())
    with locked(path, name):
        yield


def download_by_tfds(builder: tfds.core.DatasetBuilder) -> None:
    """Download and prepare a data set as TFDS does, unless it is prepared."""
    # TFDS' ten tries with back-off let a user without a network wait for minutes.
    downloader.MAX_RETRIES = 3
    with contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare()


def read_builder(builder: tfds.core.DatasetBuilder, name: str, layout: Layout) -> Store:
    """Return all examples of a prepared data set, in stored order.

    Its files are read as a whole, so that a damaged one is found before any training.

    Args:
        builder: of the data set.
        name: of the data set.
        layout: what it holds.

    Raises:
        RunError: a file is damaged, or holds something else.
        OSError: a file may not be read, or the decoded images can't be written.
    """
    folder = Path(builder.data_dir)
    splits = builder.info.splits

    @tf.function
    def decode_images(contents: tf.Tensor) -> tf.Tensor:
        """Decode a batch of images as TFDS does."""
        image = builder.info.features["image"]
        return tf.map_fn(image.decode_example, contents, fn_output_signature=tf.uint8)

    def decode() -> Iterator[Examples]:
        """Read the examples of all splits in batches."""
        for split in layout.sizes:
            _check_records(folder, splits[split], layout)
            dataset = builder.as_dataset(
                split=split,
                read_config=READ_CONFIG,
                batch_size=BATCH,
                decoders=tfds.decode.PartialDecoding(
                    dict.fromkeys(_features(layout), True), {"image": tfds.decode.SkipDecoding()}
                ),
            )
            done = 0
            for batch in tfds.as_numpy(dataset):
                _check_batch(batch, layout)
                images = decode_images(batch["image"]).numpy()
                if layout.id_feature:
                    ids = batch[layout.id_feature].astype(str)
                else:
                    ids = np.array([f"{split}-{done + row:07}" for row in range(len(images))])
                done += len(ids)
                yield Examples(images, ids, batch["label"], np.full(len(ids), split))

    try:
        _check_layout(builder, layout)
        shape = (sum(layout.sizes.values()), layout.side, layout.side, 3)
        store = open_store(name, _key(folder), shape, decode)
        _check_ids(store.ids)
    # TFDS asserts the number of examples; the checks raise ValueErrors.
    except (tf.errors.OpError, AssertionError, ValueError, FileNotFoundError) as error:
        raise _damaged(folder, error) from error
    return store


def _key(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(f"{path.name} {checksum(path)}\n".encode())
    return digest.hexdigest()


def _damaged(where: Path | str, error: Exception) -> RunError:
    cause = re.sub(r"\{\{.*?\}\} ?", "", getattr(error, "message", str(error)))  # graph node
    line = printable((cause.splitlines() or [type(error).__name__])[0])
    return RunError(
        f"{where} is damaged ({line}): delete the data set to prepare it again, or name another "
        "folder with `data_dir`"
    )


# What is checked before TFDS reads it


def _check_folder(folder: Path) -> None:
    """Check the files of a prepared data set that describe it.

    Raises:
        RunError: there is something else than files, or they would have TFDS import more than its
            own features.
        PermissionError: a file may not be read.
    """
    try:
        for path in folder.glob("[!.]*"):
            with open_file(path) as file:
                size = os.fstat(file.fileno()).st_size
            if path.suffix in (".json", ".txt") and size > LARGEST_TEXT:
                raise ValueError(f"{path.name} has {size:,} bytes")
        read_json(folder / "dataset_info.json", dict[str, Any])
        if os.path.lexists(folder / "features.json"):
            features = read_json(folder / "features.json", dict[str, Any])
            foreign = [name for name in _classes(features) if not str(name).startswith(FEATURES)]
            if foreign:
                raise ValueError(f"features.json wants to import {foreign[0]!r}: refused")
    except PermissionError:
        raise
    except (RunError, OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, error) from error


def _classes(value: Any) -> Iterator[Any]:
    """Yield the names of the classes that TFDS imports for features, in each of its notations."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("pythonClassName", "python_class_name", "type"):
                yield inner
            yield from _classes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _classes(inner)
    elif isinstance(value, str) and "{" in value:  # JSON in JSON
        with contextlib.suppress(json.JSONDecodeError):
            yield from _classes(json.loads(value))


def _check_layout(builder: tfds.core.DatasetBuilder, layout: Layout) -> None:
    info, kinds = builder.info, tfds.features
    if str(info.version) != Path(builder.data_dir).name:
        raise ValueError(f"it is version {info.version}")
    if info.file_format is not tfds.core.FileFormat.TFRECORD:
        raise ValueError(f"its files are {info.file_format}")
    features = dict(info.features.items()) if isinstance(info.features, kinds.FeaturesDict) else {}
    if any(type(features.get(name)) is not kind for name, kind in _features(layout).items()):
        raise ValueError(f"its features are {', '.join(features)}")
    image, label = features["image"], features["label"]
    if image.shape != (layout.side, layout.side, 3) or image.dtype != np.uint8:
        raise ValueError(f"its images are {image.shape} {image.dtype}")
    # All names that aren't there are made up: not of a number that is only claimed.
    names = label.names if label.num_classes == len(layout.class_names) else label.num_classes
    if names != list(layout.class_names):
        raise ValueError(f"its classes are {names}")
    sizes = {name: split.num_examples for name, split in info.splits.items()}
    if sizes != layout.sizes:
        raise ValueError(f"its splits have the sizes {sizes}")


def _features(layout: Layout) -> dict[str, type]:
    """Return the features that are read, and their classes."""
    kinds = tfds.features
    named = {layout.id_feature: kinds.Text} if layout.id_feature else {}
    return {"image": kinds.Image, "label": kinds.ClassLabel, **named}


def _check_records(folder: Path, split: Any, layout: Layout) -> None:
    """Check the frames of a split's records, whose lengths TFDS believes."""
    largest = 2 * layout.side**2 * 3 + 2**16  # of an image that can't be compressed, and its id
    total = size = 0
    for path in map(Path, split.filepaths):
        if path.parent != folder:
            raise ValueError(f"{path} lies elsewhere")
        with (
            open_file(path) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            place = 0
            while place < len(content):
                length = int.from_bytes(content[place : place + 8], "little")
                if length > largest:
                    raise ValueError(f"{path.name} has a record of {length:,} bytes")
                place += 8 + 4 + length + 4  # with two checksums
                total += 1
                size += length
            if place != len(content):
                raise ValueError(f"truncated record at the end of {path.name}")
    if total != split.num_examples or split.num_bytes not in (0, size):
        raise ValueError(
            f"{split.name} has {total:,} examples of {size:,} bytes, not {split.num_examples:,} of "
            f"{split.num_bytes:,}"
        )


def _check_batch(batch: Mapping[str, np.ndarray], layout: Layout) -> None:
    """Check labels, lengths of ids, and the sizes that images claim."""
    if layout.id_feature:
        longest = max(map(len, batch[layout.id_feature]))
        if longest > LONGEST_ID:
            raise ValueError(f"an example's name has {longest:,} bytes")
    labels = batch["label"]
    if labels.min() < 0 or labels.max() >= len(layout.class_names):
        raise ValueError(f"labels from {labels.min()} to {labels.max()}")
    for content in batch["image"]:
        try:
            with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
                width, height = image.size
        except Exception as error:  # Pillow raises whatever its parsers do
            raise ValueError(f"an image can't be read: {error}") from error
        if not width == height == layout.side:
            raise ValueError(f"an image of {width}x{height} pixels")


def _check_ids(ids: np.ndarray) -> None:
    if len(np.unique(ids)) < len(ids):
        raise ValueError("ids occur more than once")
    for name in ids:
        if not name.isprintable():
            raise ValueError(f"an example is named {str(name)!r}")
