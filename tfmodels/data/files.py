"""Image files: JPEG, PNG, WebP and TIFF of any size, as RGB images of one size.

The content decides the format, whatever the extension. Images come out upright, by their
EXIF orientation, and with three channels of 8 bits: grey is repeated, a palette looked up, CMYK
converted, what is transparent becomes white, and 16-bit grey is divided by 257, so its whole range
becomes 0 to 255. Of several frames or pages the first is read. Floating-point pixels have no known
range and are refused.
"""

import dataclasses
import hashlib
import io
import json
import math
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from tfmodels.data.store import cache_path, locked
from tfmodels.errors import RunError
from tfmodels.safe_files import open_file, read_json, write_json

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
GREY16 = ("I", "I;16", "I;16B", "I;16L", "I;16N")
BATCH = 500  # files that are checked at a time
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
POOL = ThreadPoolExecutor()  # Pillow decodes without Python's lock
LARGEST_FILE = 2**28  # bytes; the pixels that Pillow allows have as many
LARGEST_HEADER = 2**23  # bytes before the pixels
LARGE = 2**24  # pixels; larger images are decoded one at a time, as each takes up to 1.4 GB
ONE_AT_A_TIME = threading.Lock()


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


def read_image(
    path: Path, least: tuple[int, int] | None = None, most: int | None = None
) -> Image.Image:
    """Return the RGB image of a file.

    Args:
        path: of the file.
        least: width and height that suffice: a larger JPEG is decoded at a half, quarter or
            eighth of its size, which is faster, as long as it isn't smaller than this.
        most: pixels that it may have, if fewer than Pillow allows.

    Raises:
        RunError: it isn't an image that can be read; the message begins with the path.
        OSError: the file can't be opened.
    """
    return _read(path, least, most)[0]


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

    Raises:
        OSError: the result can't be written.
    """
    path = cache_path(root.name, key)
    path = path.with_name(f"{path.name}.json")
    with locked(path, root.name):
        if os.path.lexists(path):
            try:
                return _kept(path, f"{root} {key}")
            except RunError as error:
                print(f"{error}: the images are checked again", file=sys.stderr)
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
        size, damaged = _check_files(root, names)
        checked: _Checked = {"source": f"{root} {key}", "size": size, "damaged": damaged}
        write_json(path, {**checked, "seal": _seal(checked)})
        return size, damaged


class _Checked(TypedDict):
    """What is kept of the check of a folder."""

    source: str
    size: tuple[int, int] | None
    damaged: dict[str, str]


class _Sealed(_Checked):
    seal: str  # a hash, which shows if anything was changed


def _kept(path: Path, source: str) -> tuple[tuple[int, int] | None, dict[str, str]]:
    content = read_json(path, _Sealed)
    checked: _Checked = {
        "source": source, "size": content["size"], "damaged": content["damaged"]
    }  # fmt: skip
    if content["seal"] != _seal(checked):
        raise RunError(f"{path} isn't as it was written")
    return checked["size"], checked["damaged"]


def _seal(checked: _Checked) -> str:
    return hashlib.sha256(json.dumps(checked).encode()).hexdigest()


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


def _read(
    path: Path, least: tuple[int, int] | None, most: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    try:
        raw = open_file(path).detach()
    except (RunError, FileNotFoundError) as error:
        raise RunError(f"{path}: not a regular file") from error
    with _Header(raw) as file:
        try:
            return _decode(file, least, min(most or math.inf, Image.MAX_IMAGE_PIXELS or math.inf))
        except UnidentifiedImageError as error:
            raise RunError(f"{path}: not a JPEG, PNG, WebP or TIFF image") from error
        except Exception as error:  # Pillow raises whatever its decoders do
            raise RunError(f"{path}: {error or type(error).__name__}") from error


class _Header(io.BufferedReader):
    """A file of an image, of which little can be read before its size is known.

    Pillow makes objects of what lies before the pixels, such as the place of each strip in a TIFF
    file, which take sixty times the bytes.

    Attributes:
        left: bytes that can be read.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self.left: float = LARGEST_HEADER

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file."""
        content = super().read(size)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(f"more than {LARGEST_HEADER:,} bytes before its pixels")
        return content


def _decode(
    file: _Header, least: tuple[int, int] | None, most: float
) -> tuple[Image.Image, tuple[int, int]]:
    """Return the image and its height and width before it was decoded at a smaller size."""
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST_FILE:
        raise ValueError(f"{size:,} bytes, more than {LARGEST_FILE:,}")
    if file.peek(12)[8:12] == b"WEBP":  # which Pillow reads as a whole
        file.left = math.inf
    with Image.open(file, formats=FORMATS) as image:
        file.left = math.inf
        width, height = image.size
        if width * height > most:
            raise ValueError(f"{width}x{height} pixels, more than {most:,}")
        with ONE_AT_A_TIME if width * height > LARGE else nullcontext():
            if image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS:
                width, height = height, width
            if least is not None:
                image.draft(None, (max(least), max(least)))  # of both, as it may lie on its side
            ImageOps.exif_transpose(image, in_place=True)
            return _rgb(image), (height, width)


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
