"""Variations of training images that don't change their class.

Both functions take a batch of images (n, height, width, 3) uint8 and random numbers
(n, NUMBERS) float32 from 0 to 1, and return images of the same kind; the same numbers give the
same images. They work out where each pixel comes from, and fetch each pixel once.
"""

from collections.abc import Callable

import numpy as np

Augment = Callable[[np.ndarray, np.ndarray], np.ndarray]

NUMBERS = 6  # per image, used as far as needed
MIRROR = 2  # of these, the one that mirrors
SHIFT = 16  # the part of a side that is the most: 2 pixels of CIFAR-10's 32, as in airbench94
BRIGHTNESS = 0.1  # of 255, up or down
BLOCK = 16  # images fetched at once: their pixels' indices fit a processor's cache


def crop_and_flip(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Shift images by up to a sixteenth, filling by reflection, and mirror half of them."""
    _, height, width, _ = images.shape
    rows = _shifted(height, numbers[:, 0])
    columns = _mirrored(_shifted(width, numbers[:, 1]), numbers[:, MIRROR])
    return _fetch(images, rows[:, :, None], columns[:, None])


def turn_shift_brighten(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Apply one of the eight turns and mirrors of a square, a small shift, another brightness.

    For images from above, where no direction is up. The images must be square.
    """
    _, height, width, _ = images.shape
    # Two mirrors and a transposition, each or not: together these are the eight symmetries.
    rows = _mirrored(_shifted(height, numbers[:, 0]), numbers[:, MIRROR])
    columns = _mirrored(_shifted(width, numbers[:, 1]), numbers[:, 3])
    transposed = (numbers[:, 4] < 0.5)[:, None, None]
    turned = _fetch(
        images,
        np.where(transposed, rows[:, None], rows[:, :, None]),
        np.where(transposed, columns[:, :, None], columns[:, None]),
    )
    change = (2 * numbers[:, 5] - 1) * BRIGHTNESS * 255
    brighter = np.rint(turned + change[:, None, None, None])
    return brighter.clip(0, 255).astype(images.dtype)


def _shifted(side: int, numbers: np.ndarray) -> np.ndarray:
    """Return the lines (n, side) of images that are shifted as the numbers (n,) say."""
    most, last = side // SHIFT, side - 1
    shifts = (numbers * (2 * most + 1)).astype(int) - most
    # Past an edge they are reflected: line -1 is line 1, and the last but one follows the last.
    lines: np.ndarray = last - np.abs(last - np.abs(np.arange(side) + shifts[:, None]))
    return lines


def _mirrored(lines: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers[:, None] < 0.5, lines[:, ::-1], lines)


def _fetch(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return images whose pixels come from these rows and columns (n, height, width)."""
    n, height, width, channels = images.shape
    starts = (np.arange(n)[:, None, None] * height + rows) * width
    pixels = images.reshape(-1, channels)
    fetched = np.empty_like(images)
    for first in range(0, n, BLOCK):
        block = slice(first, first + BLOCK)
        fetched[block] = pixels.take(starts[block] + columns[block], axis=0)
    return fetched
