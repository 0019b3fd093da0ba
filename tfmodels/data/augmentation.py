"""How training pictures are varied, by what doesn't change their class.

Both take one picture (height, width, 3) uint8 and a seed (2,) int64, and give a picture of
the same kind; the same seed gives the same picture.
"""

import tensorflow as tf

SHIFT = 4  # pixels to each side, as in He et al. 2016 (arXiv:1512.03385), section 4.2
BRIGHTNESS = 0.1  # of 255, up or down


def crop_and_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift a picture by up to 4 pixels, filling by reflection, and mirror every second one."""
    return tf.image.stateless_random_flip_left_right(_shift(image, seed), seed + 1)


def turn_shift_brighten(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the eight turns and mirrors of a square, a small shift, and another brightness.

    For pictures from above, where no direction is up. The picture must be square.
    """
    turn = tf.random.stateless_uniform([], seed + 1, maxval=4, dtype=tf.int32)
    turned = tf.image.rot90(tf.cast(_shift(image, seed), tf.float32), turn)
    mirrored = tf.image.stateless_random_flip_left_right(turned, seed + 2)
    change = tf.random.stateless_uniform([], seed + 3, -BRIGHTNESS * 255, BRIGHTNESS * 255)
    brighter = tf.saturate_cast(tf.round(mirrored + change), image.dtype)
    return tf.ensure_shape(brighter, image.shape)


def _shift(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    padded = tf.pad(image, [[SHIFT, SHIFT], [SHIFT, SHIFT], [0, 0]], mode="REFLECT")
    shifted = tf.image.stateless_random_crop(padded, tf.shape(image), seed)
    return tf.ensure_shape(shifted, image.shape)
