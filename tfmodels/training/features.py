"""Training only the head of a network, on features that its backbone gives once.

A backbone whose weights stay gives the same features in every epoch. They are computed once
per picture, kept on disk, and shared by all runs and splits with the same backbone.
"""

import dataclasses
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfmodels.data.images import ImageData, Split
from tfmodels.download import cache_dir
from tfmodels.models.parts import backbone, head
from tfmodels.config import Settings
from tfmodels.training.fit import fit

BATCH = 256  # pictures at a time through the backbone


@dataclasses.dataclass(frozen=True)
class Features:
    """What a backbone gives for every picture of a data set.

    `values` (n, size) float32 is mapped from disk; `rows` finds a picture by its id.
    """

    values: np.ndarray
    rows: dict[str, int]

    def batches(
        self, split: Split, batch_size: int = 256, seed: int | None = None
    ) -> tf.data.Dataset:
        """tf.data batches of (features, labels) of a split, in a new order each epoch if seeded.

        The order is that of `pipeline.training_batches` with the same seeds.
        """
        rows = [self.rows[id] for id in split.ids.tolist()]
        dataset = tf.data.Dataset.from_tensor_slices((rows, split.labels))
        if seed is not None:
            dataset = dataset.shuffle(len(rows), seed=seed, reshuffle_each_iteration=True)

        def gather(rows: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """The features of a batch, read from disk."""
            values = tf.numpy_function(self.values.__getitem__, [rows], tf.float32)
            return tf.ensure_shape(values, [None, self.values.shape[1]]), labels

        return dataset.batch(batch_size).map(gather).prefetch(tf.data.AUTOTUNE)


def train_head(
    model: keras.Model,
    features: Features,
    data: ImageData,
    settings: Settings,
    directory: str | os.PathLike | None = None,
) -> keras.callbacks.History:
    """Train a network's head, as `training.train` would with its backbone frozen.

    Raises:
        RunError: the loss is no longer a number.
    """
    return fit(
        head(model),
        features.batches(data.train, settings.batch_size, settings.seed),
        features.batches(data.val),
        settings,
        directory,
        whole=model,
    )


def predict_head(model: keras.Model, features: Features, split: Split) -> np.ndarray:
    """Class probabilities (n, classes) float32 of a split's pictures, from their features."""
    return head(model).predict(features.batches(split), verbose=0)


def compute_features(model: keras.Model, data: ImageData) -> Features:
    """The features of all pictures of a data set, from disk where they are known already.

    They are kept in ~/.cache/tfmodels/features, in a folder whose name holds a checksum of all
    that makes them: pictures, preprocessing, image size and weights. The folder gets its name
    when it is whole; a second process waits for the first.
    """
    part_of = backbone(model)
    ids = np.concatenate([split.ids for split in (data.train, data.val, data.test)])
    folder = cache_dir() / "features" / f"{model.name}-{_checksum(part_of, data, ids)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            np.save(part / "ids.npy", ids)
            _compute(part_of, data, len(ids), part / "values.npy")
            part.rename(folder)
    known = np.load(folder / "ids.npy").tolist()
    return Features(
        values=np.load(folder / "values.npy", mmap_mode="r"),
        rows={id: row for row, id in enumerate(known)},
    )


def _pictures(data: ImageData) -> Iterator[np.ndarray]:
    """All pictures in batches, in the order train, validation, test."""
    everything = data.train.dataset.concatenate(data.val.dataset).concatenate(data.test.dataset)
    batches = everything.map(lambda image, label: image).batch(BATCH)
    return batches.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()


def _compute(model: keras.Model, data: ImageData, total: int, path: Path) -> None:
    # Written in order: a map of a file that doesn't fit on the disk would end the process.
    header = {"descr": "<f4", "fortran_order": False, "shape": (total, model.output.shape[1])}
    with path.open("wb") as file, tqdm(total=total, desc="features", unit="picture") as progress:
        np.lib.format.write_array_header_1_0(file, header)
        for images in _pictures(data):
            full = np.resize(images, (BATCH, *images.shape[1:]))  # the last would be traced anew
            values = model.predict_on_batch(full)[: len(images)]
            file.write(values.astype("<f4").tobytes())
            progress.update(len(images))


def _checksum(model: keras.Model, data: ImageData, ids: np.ndarray) -> str:
    # Keras numbers what has no name of its own by how many it has made: not part of the content.
    config = re.sub(r"(input_layer|functional)(_\d+)?", r"\1", model.to_json())
    images = (image for batch in _pictures(data) for image in batch)
    pictures = [
        f"{id} {hashlib.sha256(image).hexdigest()}" for id, image in zip(ids, images, strict=True)
    ]
    digest = hashlib.sha256("\n".join([config, *sorted(pictures)]).encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]
