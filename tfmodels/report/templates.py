"""Templates of the pages, with what they share: formats of numbers, images, colours."""

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from tfmodels.report.plots import RUN_COLOURS
from tfmodels.report.tables import (
    data_title,
    diversity_in_words,
    learned_in_words,
    percent,
    scientific,
)


def short_id(name: str) -> str:
    """Return the name of an image without the folders above its own."""
    return "/".join(name.split("/")[-2:])


def data_url(image: np.ndarray, largest: int | None = None) -> str:
    """Return an image as an address that holds it, for a page of one file.

    Args:
        image: (height, width) or (height, width, 3 or 4), uint8.
        largest: its longer side, in pixels, if it is to be reduced.
    """
    shown = Image.fromarray(image)
    if largest is not None:
        shown.thumbnail((largest, largest))
    png = io.BytesIO()
    shown.save(png, format="png")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=jinja2.select_autoescape(),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "percent": percent,
    "short": scientific,
    "title_of_data": data_title,
    "short_id": short_id,
    "in_words": learned_in_words,
    "diversity": diversity_in_words,
    "data_url": data_url,
}
TEMPLATES.globals["run_colours"] = RUN_COLOURS
