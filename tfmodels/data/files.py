"""Image files: JPEG, PNG, WebP and TIFF of any size, as RGB images of one size.

The content decides the format, whatever the extension. Images come out upright, by their
EXIF orientation, and with three channels of 8 bits: grey is repeated, a palette looked up, CMYK
converted, what is transparent becomes white, and 16-bit grey is divided by 257, so its whole range
becomes 0 to 255. Of several frames or pages the first is read. Floating-point pixels have no known
range and are refused.
"""

import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import filelock
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from tfmodels.download import cache_dir
from tfmodels.errors import RunError
from tfmodels.safe_files import write_json

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
GREY16 = ("I", "I;16", "I;16B", "I;16L", "I;16N")
BATCH = 500  # files that are checked at a time
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
POOL = ThreadPoolExecutor()  # Pillow decodes without Python's lock


@dataclasses.dataclass(frozen=True)
class FileImages:
    """Images that are decoded from their files whenever they are read.

    Attributes:
        root: folder of the files.
        ids: (n,) paths of the files in it.
        size: height and width that images are scaled to; what is beyond this shape is cut off at
            both ends, so nothing is distorted.
    """

    root: Path
    ids: np.ndarray
    size: tuple[int, int]

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at indices (k,) as (k, height, width, 3) uint8."""
        images = np.empty((len(indices), *self.size, 3), np.uint8)
        for row, image in enumerate(POOL.map(self._read, self.ids[indices].tolist())):
            images[row] = image
        return images

    def _read(self, name: str) -> np.ndarray:
        size = self.size[::-1]
        image = read_image(self.root / name, least=size)
        return np.asarray(ImageOps.fit(image, size, Image.Resampling.BILINEAR))


def read_image(path: Path, least: tuple[int, int] | None = None) -> Image.Image:
    """Return the RGB image of a file.

    Args:
        path: of the file.
        least: width and height that suffice: a larger JPEG is decoded at a half, quarter or
            eighth of its size, which is faster, as long as it isn't smaller than this.

    Raises:
        RunError: it isn't an image that can be read; the message begins with the path.
        OSError: the file can't be opened.
    """
    return _read(path, least)[0]


def check_files(
    root: Path, names: Sequence[str], key: str
) -> tuple[tuple[int, int] | None, dict[str, str]]:
    """Decode all files once, to see whether they can be read.

    The result is kept in `cache_dir()/images`.

    Args:
        root: folder of the files.
        names: paths of the files in it.
        key: a hash of the files, by which the result is kept.

    Returns:
        Height and width if all images have the same, and what is wrong with the files that can't
        be read, by name.
    """
    folder = cache_dir() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / re.sub(r"[^\w.-]+", "-", f"{root.name}-{key[:16]}.json")
    with filelock.FileLock(f"{path}.lock"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return content["size"] and tuple(content["size"]), dict(content["damaged"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            size, damaged = _check_files(root, names)
            write_json(path, {"size": size, "damaged": damaged})
            return size, damaged


def _check_files(root: Path, names: Sequence[str]) -> tuple[tuple[int, int] | None, dict[str, str]]:
    def check(name: str) -> tuple[int, int] | str:
        """Return the size of an image, or what is wrong with its file."""
        try:
            return _read(root / name, least=(1, 1))[1]
        except RunError as error:
            return name + str(error).removeprefix(str(root / name))

    sizes: set[tuple[int, int]] = set()
    damaged = {}
    print(f"checking {len(names)} images of {root.name}", file=sys.stderr)
    with tqdm(
        desc=root.name, total=len(names), unit=" images", ncols=79, leave=False, disable=None
    ) as progress:
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            for name, result in zip(batch, POOL.map(check, batch), strict=True):
                if isinstance(result, str):
                    damaged[name] = result
                else:
                    sizes.add(result)
                progress.update()
    return sizes.pop() if len(sizes) == 1 else None, damaged


def _read(path: Path, least: tuple[int, int] | None) -> tuple[Image.Image, tuple[int, int]]:
    if not path.is_file():  # a pipe would be waited for
        raise RunError(f"{path}: not a regular file")
    with open(path, "rb") as file:
        try:
            return _decode(file, least)
        except UnidentifiedImageError as error:
            raise RunError(f"{path}: not a JPEG, PNG, WebP or TIFF image") from error
        except Exception as error:  # Pillow raises whatever its decoders do
            raise RunError(f"{path}: {error or type(error).__name__}") from error


def _decode(file: BinaryIO, least: tuple[int, int] | None) -> tuple[Image.Image, tuple[int, int]]:
    """Return the image and its height and width before it was decoded at a smaller size."""
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
            raise ValueError(f"{width}x{height} pixels, more than {Image.MAX_IMAGE_PIXELS}")
        if image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS:
            width, height = height, width
        if least is not None:
            image.draft(None, (max(least), max(least)))  # of both, as it may lie on its side
        return _rgb(ImageOps.exif_transpose(image)), (height, width)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range isn't known")
    if image.mode in GREY16:
        values = np.clip(np.asarray(image), 0, 65535) // 257
        image = Image.fromarray(values.astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
