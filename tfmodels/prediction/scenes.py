"""Scenes: GeoTIFF files of any size, read a row of windows at a time as 8-bit images."""

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.errors
import rasterio.windows

from tfmodels.errors import RunError, UsageError
from tfmodels.safe_files import printable

LARGEST_BLOCK = 2**28  # bytes; of a tiled file they are a few hundred thousand
CACHE = 2**27  # bytes of blocks that GDAL keeps


@dataclasses.dataclass(frozen=True)
class Scene:
    """An open GeoTIFF file, and how its values become those of 8-bit images.

    Attributes:
        path: of the file.
        file: open in rasterio.
        bands: numbers, from 1, in the order of the images' channels.
        values: the lowest and the highest; they become 1 and 255, and what is beyond them too. None
            if the values are those of 8-bit images already.
        nodata: the value of missing pixels, if the file doesn't say it.
    """

    path: Path
    file: Any
    bands: tuple[int, ...]
    values: tuple[float, float] | None
    nodata: float | None

    def read(
        self, window: rasterio.windows.Window, shape: tuple[int, int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a window (height, width, bands) uint8, and which of its pixels are missing.

        Missing are pixels of which no band has a value, by the file's nodata value or mask, by
        `nodata`, or as it isn't a number. They become 0 in all bands.

        Args:
            window: part of the scene.
            shape: height and width to scale it to, by leaving pixels out.

        Raises:
            RunError: the file is damaged.
        """
        shape = shape or (round(window.height), round(window.width))
        try:
            found = self.file.read(
                self.bands, window=window, masked=True, out_shape=(len(self.bands), *shape)
            )
        except rasterio.errors.RasterioError as error:
            raise RunError(f"{self.path} is damaged ({printable(str(error))})") from error
        pixels = found.filled(0) if self.values is None else self._scaled(found)
        unknown = np.ma.getmaskarray(found) | np.isnan(found.data) | (found.data == self.nodata)
        missing = unknown.all(axis=0)
        pixels[:, missing] = 0
        return np.moveaxis(pixels, 0, -1).astype(np.uint8), missing

    def _scaled(self, found: np.ma.MaskedArray) -> np.ndarray:
        assert self.values
        low, high = self.values
        shares = (found.filled(low).astype(np.float32) - low) / (high - low)
        pixels: np.ndarray = np.rint(1 + 254 * np.nan_to_num(shares).clip(0, 1))
        return pixels


@contextlib.contextmanager
def open_scene(
    path: Path,
    channels: int,
    bands: Sequence[int] | None,
    values: Sequence[float] | None,
    nodata: float | None,
) -> Iterator[Scene]:
    """Open a GeoTIFF file.

    Args:
        path: of the file.
        channels: of the images that a network takes.
        bands: see `Scene`; the first ones by default.
        values: see `Scene`.
        nodata: see `Scene`.

    Raises:
        UsageError: it isn't there, it isn't a GeoTIFF, or bands or values don't fit it.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    with rasterio.Env(GDAL_CACHEMAX=CACHE), warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            file = rasterio.open(path, driver="GTiff")
        except rasterio.errors.RasterioError as error:
            raise UsageError(f"{path} is not a GeoTIFF file ({printable(str(error))})") from error
        with file:
            chosen = tuple(bands or range(1, min(channels, file.count) + 1))
            _check(path, file, chosen, channels, values)
            yield Scene(path, file, chosen, (values[0], values[1]) if values else None, nodata)


def _check(
    path: Path, file: Any, bands: Sequence[int], channels: int, values: Sequence[float] | None
) -> None:
    if len(bands) != channels:
        raise UsageError(
            f"`bands` are {len(bands)} ({path} has {file.count}): name {channels}, in the order of "
            "the channels of the images that the network was trained on"
        )
    if not set(bands) <= set(file.indexes):
        raise UsageError(f"`bands` are {list(bands)}: {path} has 1 to {file.count}")
    types = {file.dtypes[band - 1] for band in bands}
    if any("complex" in kind for kind in types):
        raise UsageError(f"{path} holds complex numbers: name bands of real ones")
    if values is None and types != {"uint8"}:
        raise UsageError(
            f"`values` are needed: {path} holds {', '.join(sorted(types))}; name the lowest and "
            "the highest, such as 0 2750 for Sentinel-2 Level-1C as in EuroSAT"
        )
    if values and not -math.inf < values[0] < values[1] < math.inf:
        raise UsageError(
            f"`values` are {values[0]:g} and {values[1]:g}: name two numbers, the lower first"
        )
    for band in bands:
        height, width = file.block_shapes[band - 1]
        size = height * width * np.dtype(file.dtypes[band - 1]).itemsize
        if size * file.count > LARGEST_BLOCK:
            raise UsageError(
                f"{path} is kept in blocks of {width:,} x {height:,} pixels, too large to be read "
                "in parts: make it a tiled one with `gdal_translate -co TILED=YES`"
            )
