"""Views of an image over which its prediction is averaged: variations that don't change its class.

Each function takes images (n, height, width, 3) and yields arrays of that shape, of each image
itself first.
"""

from collections.abc import Callable, Iterator

import numpy as np


def average_views(
    predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray, views: str
) -> np.ndarray:
    """Return the mean of the predictions (n, classes) for the views of images.

    Args:
        predict: returns predictions for images.
        images: (n, height, width, 3).
        views: name of one of the functions below.
    """
    functions = {"single": single, "mirror": mirror, "shifts": shifts, "turns": turns}
    mean: np.ndarray = np.mean([predict(view) for view in functions[views](images)], axis=0)
    return mean


def single(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images alone."""
    yield images


def mirror(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images and their mirror images."""
    yield images
    yield images[:, :, ::-1]


def shifts(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the two views of `mirror` for the images and their shifts by four knight's moves.

    These five put each pixel into another row and another column, modulo five, so they differ in
    what strides and pooling see; on CIFAR-10's validation images they gave 1.7
    points, and all 25 shifts of up to two pixels 1.8 (docs/PERFORMANCE.md).
    """
    _, height, width, _ = images.shape
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect")
    for row, column in ((2, 2), (3, 4), (4, 1), (1, 0), (0, 3)):
        yield from mirror(padded[:, row : row + height, column : column + width])


def turns(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the eight turns and mirrors of a square; for images in which no direction is up."""
    for quarters in range(4):
        yield from mirror(np.rot90(images, quarters, axes=(1, 2)))
