"""How pictures reach the model: tf.data pipelines of (images, labels) batches."""

import tensorflow as tf

from tfmodels.data.loading import Split

CROP_PADDING = 4  # pixels on each side, as in He et al. 2016 (arXiv:1512.03385), section 4.2


def training_batches(
    split: Split, batch_size: int, seed: int = 0, augment: bool = False
) -> tf.data.Dataset:
    """Batches in a new order each epoch.

    Order and augmentation follow from this seed and TensorFlow's global one
    (`keras.utils.set_random_seed`).

    Yields:
        images (batch, height, width, 3) uint8 and labels (batch,) int64; the last batch of
        an epoch may be smaller.
    """
    dataset = split.dataset.shuffle(len(split), seed=seed, reshuffle_each_iteration=True)
    if augment:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        dataset = tf.data.Dataset.zip(dataset, seeds).map(
            lambda example, pair: (crop_and_flip(example[0], pair), example[1]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, batch_size: int = 256) -> tf.data.Dataset:
    """Batches in the split's own order: images (batch, height, width, 3) uint8, labels int64."""
    return split.dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def crop_and_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift a picture by up to 4 pixels, filling by reflection, and mirror every second one.

    Args:
        image: (height, width, 3).
        seed: (2,) int64; the same seed gives the same picture.
    """
    pad = [CROP_PADDING, CROP_PADDING]
    padded = tf.pad(image, [pad, pad, [0, 0]], mode="REFLECT")
    cropped = tf.image.stateless_random_crop(padded, tf.shape(image), seed)
    cropped = tf.ensure_shape(cropped, image.shape)
    return tf.image.stateless_random_flip_left_right(cropped, seed + 1)
