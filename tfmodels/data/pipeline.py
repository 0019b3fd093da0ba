"""tf.data pipelines of batches, whose order and augmentation are pure functions of their seed.

Which images make up a batch, and how they are varied, follows from (seed, epoch, step) alone. So
an epoch can begin at any step, and a batch can be made anywhere.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfmodels.data.augmentation import MIRROR, NUMBERS, Augment
from tfmodels.data.images import Split
from tfmodels.data.threads import called_by_threads


@dataclasses.dataclass(frozen=True)
class Share:
    """What a process reads of each batch.

    Attributes:
        process: its number, from 0.
        processes: how many there are.
        devices: of all processes.
    """

    process: int
    processes: int
    devices: int

    def rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of a batch that the process reads, and their weights, float32.

        A batch that the devices don't divide, such as the last of an epoch, is repeated until they
        do: mean loss, gradient and moments are those of the batch, and weights count it once.
        """
        copies = self.devices // math.gcd(len(rows), self.devices)
        own = np.split(np.tile(rows, copies), self.processes)[self.process]
        return own, np.full(len(own), 1 / copies, np.float32)


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
    numbers[:, MIRROR] = (first[:, MIRROR] + epoch % 2 / 2) % 1
    return numbers


def training_batches(
    split: Split,
    batch_size: int,
    seed: Sequence[int],
    epochs: int = 1,
    first_step: int = 0,
    augment: Augment | None = None,
    share: Share | None = None,
) -> tf.data.Dataset:
    """Return the batches of all epochs in one pipeline, each epoch in an order of its own.

    Args:
        split: the training images.
        batch_size: images of a batch.
        seed: whole numbers that order and augmentation follow from.
        epochs: how often to go through the split.
        first_step: the batch to begin with, counted through all epochs.
        augment: how to vary images; see `augmentation`.
        share: what of each batch to read, where several devices share it.

    Returns:
        A dataset of images (batch, height, width, 3) uint8, labels (batch,) int64 and, of shared
        batches, weights (batch,) float32; the last batch of an epoch may be smaller.
    """
    steps = steps_per_epoch(split, batch_size)

    @functools.lru_cache(2)  # two batches are made at a time, maybe of two epochs
    def plan(epoch: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the order of an epoch, and the numbers that vary its images."""
        numbers = epoch_numbers(len(split), seed, epoch) if augment else None
        return epoch_order(len(split), seed, epoch), numbers

    def make_batch(step: int) -> tuple[np.ndarray, ...]:
        """Read the images of a batch, and vary them."""
        order, numbers = plan(step // steps)
        rows, *weights = _shared(order[step % steps * batch_size :][:batch_size], share)
        images = split.images[rows]
        if augment and numbers is not None:
            images = augment(images, numbers[rows])
        return images, split.labels[rows], *weights

    return _batches(make_batch, range(first_step, epochs * steps), split, share)


def evaluation_batches(
    split: Split, batch_size: int = 256, share: Share | None = None
) -> tf.data.Dataset:
    """Return batches in the split's own order, of what those of `training_batches` are."""
    if share:
        batch_size = -(-batch_size // share.devices) * share.devices

    def make_batch(step: int) -> tuple[np.ndarray, ...]:
        """Read the images of a batch."""
        rows = np.arange(step * batch_size, min((step + 1) * batch_size, len(split)))
        rows, *weights = _shared(rows, share)
        return split.images[rows], split.labels[rows], *weights

    return _batches(make_batch, range(steps_per_epoch(split, batch_size)), split, share)


def _shared(rows: np.ndarray, share: Share | None) -> tuple[np.ndarray, ...]:
    """Return the rows of a batch that are to be read, and their weights where it is shared."""
    return share.rows(rows) if share else (rows,)


def _batches(
    make_batch: Callable[[int], tuple[np.ndarray, ...]],
    steps: range,
    split: Split,
    share: Share | None,
) -> tf.data.Dataset:
    """Return the batches of some steps, made ahead, two at a time."""
    image = split.images[np.arange(1)]
    kinds = [image.dtype, split.labels.dtype, *([np.float32] if share else [])]
    shapes = [(None, *image.shape[1:]), (None,), (None,)]

    def make(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Make a batch outside of TensorFlow, and say what it is."""
        # With a state, TensorFlow would make one at a time under --deterministic.
        parts = tf.numpy_function(called_by_threads(make_batch), [step], kinds, stateful=False)
        return tuple(map(tf.ensure_shape, parts, shapes[: len(kinds)]))

    return tf.data.Dataset.range(steps.start, steps.stop).map(make, 2).prefetch(tf.data.AUTOTUNE)
