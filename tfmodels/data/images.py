"""Where the pictures come from: data sets read through TFDS, split, and held in memory."""

import contextlib
import dataclasses
import errno
import itertools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader

from tfmodels.data.augmentation import crop_and_flip
from tfmodels.data.sample import CIFAR_SAMPLE, Sample, prepare
from tfmodels.download import cache_dir
from tfmodels.errors import RunError, UsageError

VALIDATION_PERCENT = 10  # of TFDS' train split: 5,000 of CIFAR-10's 50,000
# One file after the other, in stored order: the same on every machine.
READ_CONFIG = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of one split, in a fixed order.

    `dataset` is a cached tf.data pipeline of (image (height, width, 3) uint8, label int64);
    `ids` (n,) str and `labels` (n,) int64 are in its order.
    """

    dataset: tf.data.Dataset
    ids: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A data set for image classification with its splits `train`, `val` and `test`.

    `split` says in words how the pictures were split, and what that means for the figures;
    `augment` varies a training picture as suits the kind: see `augmentation`.
    """

    name: str
    version: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train: Split
    val: Split
    test: Split
    split: str
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def load_data(
    name: str = "cifar10",
    data_dir: str | os.PathLike | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> ImageData:
    """Load a data set, downloading (or drawing) it if it isn't prepared yet.

    The validation split is a tenth of TFDS' train split, chosen by the seed. Everything is
    read once here, so a damaged file is found before any training.

    Args:
        name: `cifar10` or `sample`.
        data_dir: folder of prepared TFDS data sets; by default TFDS' own (TFDS_DATA_DIR or
            ~/tensorflow_datasets), for the sample ~/.cache/tfmodels.
        seed: of the choice of validation examples.
        limit: use only this many training examples, the first ones.

    Raises:
        UsageError: unknown name, or limit beyond the training split.
        RunError: the data can't be had, or is damaged.
    """
    if name not in ("cifar10", "sample"):
        raise UsageError(f"data set {name!r} is unknown: it must be cifar10 or sample")
    builder = _cifar10(data_dir) if name == "cifar10" else sample_builder(CIFAR_SAMPLE, data_dir)
    train, val = split_train(seed)
    info = builder.info

    def read(split: str) -> tf.data.Dataset:
        """A split of the data set, always in the same order."""
        return builder.as_dataset(split=split, read_config=READ_CONFIG)

    check_limit(limit, name, info.splits[train].num_examples)
    return ImageData(
        name=name,
        version=str(builder.version),
        class_names=tuple(info.features["label"].names),
        image_shape=info.features["image"].shape,
        train=read_split(builder, read(train).take(limit or -1)),
        val=read_split(builder, read(val)),
        test=read_split(builder, read("test")),
        split="the data set's own test split; a tenth of its train split, by the seed, validates",
        augment=crop_and_flip,
    )


def split_train(seed: int) -> tuple[str, str]:
    """TFDS slices for training and validation: a tenth of the percents, chosen by the seed."""
    chosen = np.random.default_rng(seed).choice(100, VALIDATION_PERCENT, replace=False)
    edges = np.flatnonzero(np.diff(np.isin(np.arange(100), chosen))) + 1
    cuts = [0, *edges.tolist(), 100]
    slices: tuple[list[str], list[str]] = ([], [])
    for start, stop in itertools.pairwise(cuts):
        slices[start in chosen].append(f"train[{start}%:{stop}%]")
    return "+".join(slices[0]), "+".join(slices[1])


def sample_builder(sample: Sample, data_dir: str | os.PathLike | None) -> tfds.core.DatasetBuilder:
    """A built-in sample, drawn first where it isn't prepared.

    Raises:
        RunError: it can't be stored, or is damaged.
    """
    folder = Path(data_dir or cache_dir())
    try:
        prepare(sample, folder)
    except Exception as error:  # TFDS wraps what TensorFlow and the system raise
        raise RunError(
            f"the sample can't be stored in {folder} ({error}): name another --data-dir"
        ) from error
    return open_builder(sample.name, folder)


def open_builder(name: str, data_dir: str | os.PathLike | None) -> tfds.core.DatasetBuilder:
    """TFDS' builder of a data set.

    Raises:
        RunError: its files are there, but damaged.
    """
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (ImportError, OSError):
        raise
    except Exception as error:  # TFDS raises whatever its parsers do
        raise RunError(_damaged(data_dir or tfds.core.constants.DATA_DIR, error)) from error


def _cifar10(data_dir: str | os.PathLike | None) -> tfds.core.DatasetBuilder:
    builder = open_builder("cifar10", data_dir)
    try:
        download_by_tfds(builder)
    except Exception as error:  # as many kinds as there are ways to fail to download
        raise RunError(
            f"cifar10 is not prepared in {data_dir or tfds.core.constants.DATA_DIR} and could not "
            f"be downloaded ({type(error).__name__}: {error}): connect to the network, name a "
            "folder that holds it with --data-dir, or use --data sample"
        ) from error
    return builder


def download_by_tfds(builder: tfds.core.DatasetBuilder) -> None:
    """Download and prepare a data set as TFDS does, unless it is prepared."""
    # TFDS' ten tries with back-off let a user without a network wait for minutes.
    downloader.MAX_RETRIES = 3
    with contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare()


def check_limit(limit: int | None, name: str, size: int) -> None:
    """Check that there are as many training examples as asked for.

    Raises:
        UsageError: there are fewer.
    """
    if limit is not None and not 1 <= limit <= size:
        raise UsageError(f"--limit is {limit}: the training split of {name} has {size} examples")


def read_split(
    builder: tfds.core.DatasetBuilder, dataset: tf.data.Dataset, id_feature: str = "id"
) -> Split:
    """Read examples once, into memory, so that a damaged file is found before any training.

    Args:
        builder: whose examples they are, for the message of an error.
        dataset: decoded examples with `image`, `label` and the id feature.
        id_feature: name of the feature that identifies an example.

    Raises:
        PermissionError: a file may not be read.
        RunError: a file is damaged.
    """
    dataset = dataset.cache()
    try:
        batches = [
            (batch[id_feature], batch["label"]) for batch in tfds.as_numpy(dataset.batch(1000))
        ]
    except tf.errors.PermissionDeniedError as error:
        raise PermissionError(errno.EACCES, "permission denied", str(builder.data_dir)) from error
    except tf.errors.OpError as error:
        raise RunError(_damaged(builder.data_dir, error)) from error
    ids, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(ids)))
    return Split(
        dataset=dataset.map(lambda example: (example["image"], example["label"])),
        ids=ids.astype(str),
        labels=labels,
    )


def _damaged(where: str | os.PathLike, error: Exception) -> str:
    cause = re.sub(r"\{\{.*?\}\} ?", "", getattr(error, "message", str(error)))  # graph node
    return (
        f"{where} is damaged ({cause.splitlines()[0]}): delete the data set to prepare it anew, "
        "or name another folder with --data-dir"
    )
