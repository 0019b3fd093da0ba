"""tf.data pipelines of batches, whose order and augmentation are pure functions of their seed.

Which images make up a batch, and how they are varied, follows from (seed, epoch, step) alone. So
an epoch can begin at any step, and a batch can be made anywhere.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfmodels.data.augmentation import MIRROR, NUMBERS, Augment
from tfmodels.data.images import Split


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Return the number of batches of an epoch, of which the last may be smaller."""
    return -(-len(split) // batch_size)


def epoch_order(n: int, seed: Sequence[int], epoch: int) -> np.ndarray:
    """Return the order (n,) in which an epoch, from 0, goes through n images."""
    return np.random.default_rng([*seed, epoch]).permutation(n)


def epoch_numbers(n: int, seed: Sequence[int], epoch: int) -> np.ndarray:
    """Return the random numbers (n, NUMBERS) from 0 to 1 that vary each image in an epoch.

    Mirroring alternates: an image that is mirrored in one epoch isn't in the next, so that two
    epochs show both, as in airbench94 (Jordan 2024, arXiv:2404.00498, section 3.6).
    """
    numbers, first = (
        np.random.default_rng([*seed, number, 1]).random((n, NUMBERS), np.float32)
        for number in (epoch, 0)
    )
    numbers[:, MIRROR] = (first[:, MIRROR] + epoch / 2) % 1
    return numbers


def training_batches(
    split: Split,
    batch_size: int,
    seed: Sequence[int],
    epochs: int = 1,
    first_step: int = 0,
    augment: Augment | None = None,
) -> tf.data.Dataset:
    """Return the batches of all epochs in one pipeline, each epoch in an order of its own.

    Args:
        split: the training images.
        batch_size: images of a batch.
        seed: whole numbers that order and augmentation follow from.
        epochs: how often to go through the split.
        first_step: the batch to begin with, counted through all epochs.
        augment: how to vary images; see `augmentation`.

    Returns:
        A dataset of images (batch, height, width, 3) uint8 and labels (batch,) int64; the last
        batch of an epoch may be smaller.
    """
    steps = steps_per_epoch(split, batch_size)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read batch by batch, and vary the images."""
        for epoch in range(first_step // steps, epochs):
            order = epoch_order(len(split), seed, epoch)
            numbers = epoch_numbers(len(split), seed, epoch) if augment else None
            begin = max(first_step - epoch * steps, 0)
            for step in range(begin, steps):
                rows = order[step * batch_size : (step + 1) * batch_size]
                images = split.images[rows]
                if augment and numbers is not None:
                    images = augment(images, numbers[rows])
                yield images, split.labels[rows]

    dataset = tf.data.Dataset.from_generator(batches, output_signature=_signature(split))
    total = epochs * steps - first_step
    return dataset.apply(tf.data.experimental.assert_cardinality(total)).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, batch_size: int = 256) -> tf.data.Dataset:
    """Return batches in the split's own order: images (batch, height, width, 3), labels int64."""
    steps = steps_per_epoch(split, batch_size)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read batch by batch."""
        for step in range(steps):
            rows = np.arange(step * batch_size, min((step + 1) * batch_size, len(split)))
            yield split.images[rows], split.labels[rows]

    dataset = tf.data.Dataset.from_generator(batches, output_signature=_signature(split))
    return dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE)


def _signature(split: Split) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    first = split.images[np.arange(1)]
    return (
        tf.TensorSpec((None, *first.shape[1:]), first.dtype),
        tf.TensorSpec((None,), split.labels.dtype),
    )
