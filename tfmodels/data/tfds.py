"""Data sets that TFDS (tensorflow_datasets) prepares: opened, downloaded and decoded."""

import contextlib
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader

from tfmodels.data.store import Examples, Store, open_store
from tfmodels.errors import RunError

# One file after the other, in stored order: the same on every machine.
READ_CONFIG = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
BATCH = 500  # images that are decoded at a time


def open_builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """Return TFDS' builder of a data set.

    Args:
        name: of the data set.
        data_dir: folder of prepared data sets; None is TFDS' own.

    Raises:
        RunError: its files are there, but damaged.
    """
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (ImportError, OSError):
        raise
    except Exception as error:  # TFDS raises whatever its parsers do
        raise RunError(_damaged(data_dir or default_dir(), error)) from error


def default_dir() -> str:
    """Return TFDS' own folder: TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return str(tfds.core.constants.DATA_DIR)


def download_by_tfds(builder: tfds.core.DatasetBuilder) -> None:
    """Download and prepare a data set as TFDS does, unless it is prepared."""
    # TFDS' ten tries with back-off let a user without a network wait for minutes.
    downloader.MAX_RETRIES = 3
    with contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare()


def read_builder(builder: tfds.core.DatasetBuilder, name: str, id_feature: str) -> Store:
    """Return all examples of a prepared data set, in stored order.

    Its files are read as a whole, so that a damaged one is found before any training.

    Args:
        builder: of the data set.
        name: of the data set.
        id_feature: name of the feature that identifies an example.

    Raises:
        RunError: a file is damaged.
        OSError: a file may not be read, or the decoded images can't be written.
    """
    info = builder.info
    total = sum(split.num_examples for split in info.splits.values())
    shape = (total, *info.features["image"].shape)

    def decode() -> Iterator[Examples]:
        """Read the examples of all splits in batches."""
        for split in info.splits:
            dataset = builder.as_dataset(split=split, read_config=READ_CONFIG, batch_size=BATCH)
            for batch in tfds.as_numpy(dataset):
                ids = batch[id_feature].astype(str)
                yield Examples(batch["image"], ids, batch["label"], np.full(len(ids), split))

    try:
        return open_store(name, _key(Path(builder.data_dir)), shape, decode)
    except (tf.errors.OpError, AssertionError) as error:  # TFDS asserts the number of examples
        raise RunError(_damaged(builder.data_dir, error)) from error


def _key(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def _damaged(where: str, error: Exception) -> str:
    cause = re.sub(r"\{\{.*?\}\} ?", "", getattr(error, "message", str(error)))  # graph node
    return (
        f"{where} is damaged ({cause.splitlines()[0]}): delete the data set to prepare it again, "
        "or name another folder with `data_dir`"
    )
