"""Image files of one's own: which are there, and how they reach a network, a batch at a time."""

import dataclasses
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tfmodels.data.files import POOL, read_image
from tfmodels.errors import RunError, UsageError
from tfmodels.prediction.networks import Shape

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some files, in their order, and the images of those that can be read.

    Attributes:
        files: paths.
        errors: what is wrong with each; empty of a file that can be read.
        images: of the readable files (k, *shape) uint8, by shape.
    """

    files: list[str]
    errors: list[str]
    images: dict[Shape, np.ndarray]


def find_images(paths: Iterable[str]) -> Iterator[str]:
    """Yield files, what is in folders and the folders in them, and what patterns match, in order.

    Of folders only files with the endings of images count, and none that is hidden.

    Raises:
        UsageError: a path or pattern matches nothing.
    """
    for path in paths:
        if os.path.isdir(path):
            for folder, names, files in os.walk(path):
                names[:] = sorted(name for name in names if not name.startswith("."))
                for name in sorted(files):
                    if name.lower().endswith(ENDINGS) and not name.startswith("."):
                        yield os.path.join(folder, name)
        elif os.path.lexists(path):
            yield path
        else:
            found = sorted(glob.glob(path, recursive=True))
            if not found:
                raise UsageError(f"{path} matches no file or folder")
            yield from found


def read_batch(files: Sequence[str], shapes: Iterable[Shape], most: int | None = None) -> Batch:
    """Read some files in parallel, each once, and scale them to all shapes.

    What is beyond a shape is cut off at both ends, so nothing is distorted. Images of more pixels
    than `most` aren't read.
    """
    sizes = [(width, height) for height, width, _ in shapes]
    largest = max(sizes)

    def read(file: str) -> list[np.ndarray] | str:
        """Return an image in all sizes, or what is wrong with its file."""
        try:
            image = read_image(Path(file), largest, most)
        except OSError as error:
            return error.strerror or str(error)
        except RunError as error:
            return str(error).removeprefix(f"{file}: ")
        return [np.asarray(ImageOps.fit(image, size, Image.Resampling.BILINEAR)) for size in sizes]

    results = list(POOL.map(read, files))
    errors = [result if isinstance(result, str) else "" for result in results]
    readable = [result for result in results if not isinstance(result, str)]
    stacked = [np.stack(images) for images in zip(*readable, strict=True)]
    return Batch(list(files), errors, dict(zip(shapes, stacked, strict=False)))
