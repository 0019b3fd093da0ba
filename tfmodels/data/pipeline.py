"""How pictures reach the model: tf.data pipelines of (images, labels) batches."""

from collections.abc import Callable

import tensorflow as tf

from tfmodels.data.images import Split


def training_batches(
    split: Split,
    batch_size: int,
    seed: int = 0,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """Batches in a new order each epoch, each picture varied by `augment` (see `augmentation`).

    Order and augmentation follow from this seed and TensorFlow's global one
    (`keras.utils.set_random_seed`).

    Yields:
        images (batch, height, width, 3) uint8 and labels (batch,) int64; the last batch of
        an epoch may be smaller.
    """
    dataset = split.dataset.shuffle(len(split), seed=seed, reshuffle_each_iteration=True)
    if augment is not None:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        dataset = tf.data.Dataset.zip(dataset, seeds).map(
            lambda example, pair: (augment(example[0], pair), example[1]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, batch_size: int = 256) -> tf.data.Dataset:
    """Batches in the split's own order: images (batch, height, width, 3) uint8, labels int64."""
    return split.dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)
