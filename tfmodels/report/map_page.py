"""The page of a land-cover map, and its overview as an image."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.colors
import numpy as np
import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rasterio.windows import Window

from tfmodels.report import plots
from tfmodels.report.templates import TEMPLATES
from tfmodels.runs.contents import Run
from tfmodels.safe_files import write_text

if TYPE_CHECKING:
    from tfmodels.prediction.scenes import Scene

LONGEST = 1000  # pixels of an overview's longer side


@dataclasses.dataclass(frozen=True)
class Cover:
    """What a class covers.

    Attributes:
        name: of the class.
        colour: as "#rrggbb".
        pixels: how many.
        share: of all pixels that are classified.
        area: in km²; None if the scene has no projection in units of length.
        confidence: mean probability; None if it covers nothing.
    """

    name: str
    colour: str
    pixels: int
    share: float
    area: float | None
    confidence: float | None


def write_map_page(out: Path, scene: "Scene", covers: Sequence[Cover], runs: Sequence[Run]) -> None:
    """Write the overview of a map to `out` with .png, and its page to `out` with .html.

    Args:
        out: the map's file.
        scene: what it is of.
        covers: what each class covers.
        runs: that it was made by.
    """
    height, width = scene.file.shape
    scale = min(1, LONGEST / max(height, width))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    colours = np.zeros((256, 4), np.uint8)
    names = runs[0].config["dataset"]["class_names"]
    for one in covers:
        rgba = matplotlib.colors.to_rgba(one.colour)
        colours[names.index(one.name)] = np.rint(255 * np.array(rgba))
    with rasterio.open(out) as file:
        classes, confidences = file.read(out_shape=(2, *shape))
    overview = colours[classes]
    plots.save(_with_legend(overview, covers), out.with_suffix(".png"))
    pixels, _ = scene.read(Window(0, 0, width, height), shape)
    sure = np.where(classes == 255, 0, np.rint(confidences * 2.55)).astype(np.uint8)
    page = TEMPLATES.get_template("map.html").render(
        scene=scene,
        covers=covers,
        runs=runs,
        images=[
            ("scene", pixels if pixels.shape[-1] == 3 else pixels[..., 0]),
            ("map", overview),
            ("confidence, from 0 (black) to 100 % (white)", sure),
        ],
        certain=sum((one.confidence or 0) * one.share for one in covers),
    )
    write_text(out.with_suffix(".html"), page)


def _with_legend(overview: np.ndarray, covers: Sequence[Cover]) -> Figure:
    shown = [
        Patch(facecolor=one.colour, edgecolor="gray", label=f"{one.name}, {100 * one.share:.1f} %")
        for one in covers
        if one.pixels
    ]
    height, width = overview.shape[:2]
    scale = 7 / max(height, width)  # inches a pixel
    tall = max(height * scale, 0.25 * len(shown))
    figure = Figure((width * scale + 3, tall), layout="constrained")
    axes = figure.subplots()
    axes.imshow(overview, interpolation="nearest")
    axes.axis("off")
    figure.legend(handles=shown, loc="outside right upper", frameon=False)
    return figure
