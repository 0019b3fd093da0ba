"""Variations of training images that don't change their class.

Both functions take a batch of images (n, height, width, 3) uint8 and random numbers
(n, NUMBERS) float32 from 0 to 1, and return images of the same kind; the same numbers give the
same images.
"""

from collections.abc import Callable

import tensorflow as tf

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

NUMBERS = 6  # per image, used as far as needed
MIRROR = 2  # of these, the one that mirrors
SHIFT = 4  # pixels to each side, as in He et al. 2016 (arXiv:1512.03385), section 4.2
BRIGHTNESS = 0.1  # of 255, up or down


def crop_and_flip(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Shift images by up to 4 pixels, filling by reflection, and mirror half of them."""
    shifted = _shift(images, numbers[:, :2])
    return _where(numbers[:, MIRROR], tf.reverse(shifted, [2]), shifted)


def turn_shift_brighten(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Apply one of the eight turns and mirrors of a square, a small shift, another brightness.

    For images from above, where no direction is up. The images must be square.
    """
    images = _shift(images, numbers[:, :2])
    # Two mirrors and a transposition, each or not: together these are the eight symmetries.
    images = _where(numbers[:, MIRROR], tf.reverse(images, [1]), images)
    images = _where(numbers[:, 3], tf.reverse(images, [2]), images)
    images = _where(numbers[:, 4], tf.transpose(images, [0, 2, 1, 3]), images)
    change = (2 * numbers[:, 5] - 1) * BRIGHTNESS * 255
    brighter = tf.cast(images, tf.float32) + change[:, None, None, None]
    return tf.saturate_cast(tf.round(brighter), images.dtype)


def _where(numbers: tf.Tensor, changed: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    return tf.where((numbers < 0.5)[:, None, None, None], changed, images)


def _shift(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    _, height, width, _ = images.shape
    margins = [[0, 0], [SHIFT, SHIFT], [SHIFT, SHIFT], [0, 0]]
    padded = tf.pad(images, margins, mode="REFLECT")
    first = tf.cast(numbers * (2 * SHIFT + 1), tf.int32)
    rows = first[:, :1] + tf.range(height)
    columns = first[:, 1:] + tf.range(width)
    cropped = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(cropped, columns, axis=2, batch_dims=1)
