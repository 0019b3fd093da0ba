"""Land-cover maps: the class of each part of a scene, by a network that classifies its windows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.colors
import numpy as np
import rasterio
import rasterio.enums
import rasterio.errors
from rasterio._err import CPLE_BaseError
from rasterio.windows import Window
from tqdm import tqdm

from tfmodels.errors import RunError, UsageError
from tfmodels.prediction.networks import Predict, Shape, predictor_of_all
from tfmodels.prediction.scenes import Scene, open_scene
from tfmodels.prediction.windows import Axis, cover
from tfmodels.report.map_page import Cover, write_map_page
from tfmodels.runs.contents import Run
from tfmodels.safe_files import new_file, printable

NODATA = 255  # in both bands
BATCH = 256  # windows
MOST_MISSING = 0.5  # share of a window's pixels, above which it isn't classified
OVERVIEWS = (2, 4, 8, 16, 32)  # in the file, for a quick look at all of it
COLOURS = {  # of EuroSAT's classes
    "AnnualCrop": "#e5c94f",
    "Forest": "#1b6e35",
    "HerbaceousVegetation": "#9bc53d",
    "Highway": "#4a4a4a",
    "Industrial": "#a04ec0",
    "Pasture": "#cfe8a0",
    "PermanentCrop": "#c77b30",
    "Residential": "#d7352b",
    "River": "#3f8fd2",
    "SeaLake": "#12467f",
}


def map_scene(
    runs: Sequence[Run],
    path: Path,
    out: Path,
    *,
    stride: int | None = None,
    bands: Sequence[int] | None = None,
    values: Sequence[float] | None = None,
    nodata: float | None = None,
) -> list[Cover]:
    """Write a GeoTIFF of classes and confidences, and beside it a PNG overview and a page.

    Each pixel has the class with the highest mean probability of all windows that cover it, as its
    number in band 1, and that probability in percent in band 2; both are 255 where the scene has no
    data, and in windows that are more than half without. Memory is bounded by the scene's width.

    Args:
        runs: trainings or fusions; of several the mean of their probabilities counts.
        path: of the scene, a GeoTIFF.
        out: file to write.
        stride: pixels from one window to the next, a divisor of the images' side; that side by
            default, so that windows don't overlap.
        bands: numbers of the scene's bands, in the order of the images' channels.
        values: the lowest and the highest, which become 1 and 255.
        nodata: value of missing pixels.

    Returns:
        What each class covers, the largest first.

    Raises:
        UsageError: the scene can't be used, or doesn't fit the runs.
        RunError: a run or the scene is damaged.
    """
    if out.suffix not in (".tif", ".tiff"):
        raise UsageError(f"`out` is {out}: it must end in .tif")
    shape = runs[0].config["dataset"]["image_shape"]
    stride = min(shape[:2]) if stride is None else stride
    if stride < 1 or shape[0] % stride or shape[1] % stride:
        raise UsageError(f"`stride` is {stride}: it must divide the images' side of {shape[0]}")
    names = runs[0].config["dataset"]["class_names"]
    if len(names) >= NODATA:
        raise UsageError(f"{runs[0].path} has {len(names)} classes: a map has at most {NODATA - 1}")
    with open_scene(path, shape[2], bands, values, nodata) as scene:
        if scene.file.height < shape[0] or scene.file.width < shape[1]:
            raise UsageError(f"{path} is smaller than an image of {shape[1]} x {shape[0]} pixels")
        predict, shapes = predictor_of_all(runs)
        if shapes != {shape}:
            raise UsageError("the runs take images of different sizes: name runs of one size")
        with new_file(out) as part:
            try:
                covers = _write(part, scene, shape, stride, predict, names)
                _check(part)
            except (rasterio.errors.RasterioError, CPLE_BaseError) as error:
                raise RunError(f"{out} can't be written ({printable(str(error))})") from error
        write_map_page(out, scene, covers, runs)
    return covers


def _write(
    part: Path,
    scene: Scene,
    shape: Shape,
    stride: int,
    predict: Predict,
    names: Sequence[str],
) -> list[Cover]:
    """Write the map's file, and return what each class covers."""
    colours = class_colours(names)
    counts, sums = np.zeros(NODATA + 1, np.int64), np.zeros(NODATA + 1)
    source = scene.file
    with rasterio.open(
        part,
        "w",
        driver="GTiff",
        height=source.height,
        width=source.width,
        count=2,
        dtype="uint8",
        nodata=NODATA,
        crs=source.crs,
        transform=source.transform,
        compress="deflate",
        interleave="band",
        blockysize=stride,  # whole blocks are written, once each
        bigtiff="if_safer",
    ) as file:
        file.write_colormap(1, {i: _rgb(colour) for i, colour in enumerate(colours)})
        for top, classes, confidences in _rows(scene, shape, stride, predict, len(names)):
            window = Window(0, top, source.width, len(classes))
            file.write(np.stack([classes, confidences]), window=window)
            counts += np.bincount(classes.ravel(), minlength=NODATA + 1)
            sums += np.bincount(classes.ravel(), confidences.ravel(), minlength=NODATA + 1)
        file.descriptions = ("class", "confidence, %")
        file.update_tags(1, **{f"CLASS_{i}": name for i, name in enumerate(names)})
    with rasterio.open(part, "r+") as file:
        fitting = [factor for factor in OVERVIEWS if factor < min(file.shape)]
        file.build_overviews(fitting, rasterio.enums.Resampling.nearest)
    return _covers(names, colours, counts, sums, _pixel_area(source))


def _check(part: Path) -> None:
    """Read a map as a whole, since GDAL may not notice that a disk is full."""
    with rasterio.open(part) as file:
        for _, window in file.block_windows(1):
            file.read(window=window)
        file.read(out_shape=(2, *(max(1, side // OVERVIEWS[0]) for side in file.shape)))


def _rows(
    scene: Scene, shape: Shape, stride: int, predict: Predict, classes: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield rows of the map from the top: first pixel, classes and confidences (k, width) uint8."""
    height, width = scene.file.shape
    down, across = cover(height, shape[0], stride), cover(width, shape[1], stride)
    widths = np.diff(across.edges)
    pending: dict[int, Any] = {}  # rows of cells that windows further down decide as well
    progress = tqdm(down.starts, desc="rows", ncols=79, leave=False, disable=None)
    for number, top in enumerate(progress):
        strip, missing = scene.read(Window(0, top, width, shape[0]))
        votes = _votes(strip, missing, across, shape, predict, classes)
        for cell in down.cells[number]:
            pending[cell] = pending.get(cell, 0) + votes
        following = down.cells[number + 1][0] if number + 1 < len(down.starts) else len(down.edges)
        for cell in sorted(cell for cell in pending if cell < following):
            first, last = down.edges[cell], down.edges[cell + 1]
            decided = _decide(pending.pop(cell))
            rows = decided.repeat(widths, axis=1)[:, None].repeat(last - first, axis=1)
            rows[:, missing[first - top : last - top]] = NODATA
            yield first, rows[0], rows[1]


def _votes(
    strip: np.ndarray,
    missing: np.ndarray,
    across: Axis,
    shape: Shape,
    predict: Predict,
    classes: int,
) -> np.ndarray:
    """Return the sum of the probabilities of a row of windows for each cell, and their number.

    Args:
        strip: pixels of the row (height, width, channels) uint8.
        missing: which of them are (height, width).
        across: where the windows are.
        shape: of a window.
        predict: gives the probabilities of windows.
        classes: how many there are.

    Returns:
        (cells, classes + 1), the number of windows last.
    """
    votes = np.zeros((len(across.edges) - 1, classes + 1))
    columns = [
        (slice(start, start + shape[1]), cells)
        for start, cells in zip(across.starts, across.cells, strict=True)
        if missing[:, start : start + shape[1]].mean() <= MOST_MISSING
    ]
    for first in range(0, len(columns), BATCH):
        batch = columns[first : first + BATCH]
        images = np.stack([strip[:, pixels] for pixels, _ in batch])
        for (_, cells), probabilities in zip(batch, predict({shape: images}), strict=True):
            votes[cells.start : cells.stop] += [*probabilities, 1]
    return votes


def _decide(votes: np.ndarray) -> np.ndarray:
    """Return the classes of cells and their mean probability in percent, (2, cells) uint8."""
    windows = votes[:, -1]
    means = votes[:, :-1] / np.maximum(windows, 1)[:, None]
    decided = np.stack([means.argmax(axis=1), np.rint(100 * means.max(axis=1))])
    return np.where(windows, decided, NODATA).astype(np.uint8)


def _covers(
    names: Sequence[str],
    colours: Sequence[str],
    counts: np.ndarray,
    sums: np.ndarray,
    pixel_area: float | None,
) -> list[Cover]:
    total = max(1, int(counts[:NODATA].sum()))
    covers = [
        Cover(
            name,
            colours[i],
            int(counts[i]),
            float(counts[i] / total),
            None if pixel_area is None else float(counts[i] * pixel_area),
            float(sums[i] / counts[i] / 100) if counts[i] else None,
        )
        for i, name in enumerate(names)
    ]
    return sorted(covers, key=lambda one: -one.pixels)


def _pixel_area(file: Any) -> float | None:
    """Return the area of a pixel in km², if the projection is in units of length.

    Mercator's, as of maps on the web, are not those on the ground; UTM is another.
    """
    if file.crs is None or not file.crs.is_projected:
        return None
    words = file.crs.to_wkt().replace("Transverse_Mercator", "").replace("Transverse Mercator", "")
    if "Mercator" in words:
        return None
    return float(abs(file.transform.determinant) * file.crs.linear_units_factor[1] ** 2 / 1e6)


def class_colours(names: Sequence[str]) -> list[str]:
    """Return a colour for each class: those of land cover for EuroSAT's, others by a palette."""
    if set(names) <= COLOURS.keys():
        return [COLOURS[name] for name in names]
    palette = mpl.colormaps["tab20" if len(names) <= 20 else "hsv"].resampled(len(names))
    return [mpl.colors.to_hex(palette(i)) for i in range(len(names))]


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in mpl.colors.to_rgb(colour))
