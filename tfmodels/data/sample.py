"""The built-in samples: drawn images that stand in for a data set where there is no network.

Ten classes of shapes and patterns, varied in place, size, angle, colour and noise, so that
it is a real if small problem: a linear classifier on the pixels stays under 60 %, the CNN
passes 90 % within three epochs (both are tests). `sample` stands in for CIFAR-10, `land-sample`
for EuroSAT.
"""

import contextlib
import dataclasses
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfmodels.config import Config
from tfmodels.data.cifar10 import standard_data
from tfmodels.data.eurosat import tile_data
from tfmodels.data.images import ImageData
from tfmodels.data.tfds import Layout, open_prepared, preparing
from tfmodels.download import cache_dir
from tfmodels.errors import RunError
from tfmodels.safe_files import printable

NOISE = 20.0  # standard deviation, of 255

Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    inside: np.ndarray = np.maximum(abs(u), abs(v)) < 0.9
    return inside


# Each shape is a mask on coordinates that run from -1 to 1 across it.
SHAPES: dict[str, Mask] = {
    "disc": lambda u, v: u**2 + v**2 < 1,
    "ring": lambda u, v: (u**2 + v**2 < 1) & (u**2 + v**2 > 0.36),
    "square": _square,
    "frame": lambda u, v: _square(u, v) & (np.maximum(abs(u), abs(v)) > 0.55),
    "triangle": lambda u, v: (v < 0.8) & (v > 2 * abs(u) - 1),
    "plus": lambda u, v: _square(u, v) & (np.minimum(abs(u), abs(v)) < 0.25),
    "saltire": lambda u, v: _square(u, v) & (abs(abs(u) - abs(v)) < 0.35),
    "rows": lambda u, v: _square(u, v) & (np.sin(8 * v) > 0),
    "columns": lambda u, v: _square(u, v) & (np.sin(8 * u) > 0),
    "checkers": lambda u, v: _square(u, v) & (np.sin(6 * u) * np.sin(6 * v) > 0),
}

# Seen from above, an image may be rotated by a quarter turn: rows and columns are one class here.
LAND_SHAPES = {
    **{name: mask for name, mask in SHAPES.items() if name not in ("rows", "columns")},
    "stripes": SHAPES["rows"],
    "dots": lambda u, v: _square(u, v) & (np.sin(8 * u) > 0.2) & (np.sin(8 * v) > 0.2),
}


@dataclasses.dataclass(frozen=True)
class Sample:
    """A drawn TFDS data set.

    Attributes:
        name: of the TFDS data set.
        version: to be raised with every change of an image: prepared copies are kept.
        id_feature: the feature that identifies an example, as in the data set it stands for.
        image_size: side in pixels.
        sizes: number of images of each split.
        shapes: mask of each class.
    """

    name: str
    version: str
    id_feature: str
    image_size: int
    sizes: Mapping[str, int]
    shapes: Mapping[str, Mask]

    @property
    def layout(self) -> Layout:
        """What the prepared data set holds."""
        return Layout(self.id_feature, self.image_size, tuple(self.shapes), self.sizes)


SAMPLE = Sample("tfmodels_sample", "1.0.0", "id", 32, {"train": 5000, "test": 1000}, SHAPES)
LAND_SAMPLE = Sample("tfmodels_sample64", "1.0.0", "filename", 64, {"train": 2000}, LAND_SHAPES)


def draw(mask: Mask, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return an image of a shape, (size, size, 3) uint8."""
    radius = rng.uniform(0.24, 0.44) * size
    row, column = rng.uniform(radius, size - radius, 2)
    angle = rng.uniform(-0.25, 0.25)
    y, x = np.mgrid[:size, :size] + 0.5
    y, x = (y - row) / radius, (x - column) / radius
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    background = rng.uniform(0, 255, 3)
    ink = (background + rng.uniform(70, 185, 3) * rng.choice([-1, 1], 3)) % 255
    image = np.where(mask(u, v)[..., None], ink, background)
    image += rng.normal(0, NOISE, image.shape)
    return np.clip(image, 0, 255).round().astype(np.uint8)


def examples(sample: Sample, split: str) -> list[tuple[str, dict[str, Any]]]:
    """Return all (key, example) pairs of a split, the same on every machine."""
    rng = np.random.default_rng([list(sample.sizes).index(split), 2026])
    masks = list(sample.shapes.values())
    pairs = []
    for index in range(sample.sizes[split]):
        label = index % len(masks)
        key = f"{split}_{index:05d}"
        image = draw(masks[label], sample.image_size, rng)
        pairs.append((key, {sample.id_feature: key, "image": image, "label": label}))
    return pairs


def load(config: Config) -> ImageData:
    """Load the sample that stands in for CIFAR-10, drawing it first if it isn't there.

    Raises:
        RunError: it can't be stored, or is damaged.
    """
    builder = _builder(SAMPLE, config.data_dir)
    return standard_data(builder, SAMPLE.layout, "sample", config)


def load_land(config: Config) -> ImageData:
    """Load the sample that stands in for EuroSAT, drawing it first if it isn't there.

    Raises:
        UsageError: lists of names don't fit it.
        RunError: it can't be stored, or is damaged.
    """
    builder = _builder(LAND_SAMPLE, config.data_dir)
    return tile_data(builder, LAND_SAMPLE.layout, "land-sample", config, leaks=False)


def _builder(sample: Sample, data_dir: str | None) -> tfds.core.DatasetBuilder:
    folder = Path(data_dir or cache_dir())
    try:
        prepare(sample, folder)
    except Exception as error:  # TFDS wraps what TensorFlow and the system raise
        raise RunError(
            f"the sample can't be stored in {folder} ({printable(str(error))}): name another "
            "`data_dir`"
        ) from error
    return open_prepared(folder / sample.name / sample.version)


def prepare(sample: Sample, data_dir: Path) -> None:
    """Draw a sample and store it as a TFDS data set under `data_dir`, unless it is there."""
    folder = data_dir / sample.name / sample.version
    if os.path.lexists(folder):
        return
    with preparing(sample.name, data_dir):
        if not folder.exists():  # else another process was faster
            _prepare(sample, data_dir)


def _prepare(sample: Sample, data_dir: Path) -> None:
    features = {
        sample.id_feature: tfds.features.Text(),
        "image": tfds.features.Image(shape=(sample.image_size, sample.image_size, 3)),
        "label": tfds.features.ClassLabel(names=list(sample.shapes)),
    }
    print(f"drawing the sample data set, once, into {data_dir}", file=sys.stderr)
    tfds.disable_progress_bar()
    absl = logging.getLogger("absl")  # it warns that the folder is empty at first
    level = absl.level
    absl.setLevel("ERROR")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it mentions a download
            tfds.dataset_builders.store_as_tfds_dataset(
                name=sample.name,
                version=sample.version,
                data_dir=data_dir,
                features=tfds.features.FeaturesDict(features),
                split_datasets={split: examples(sample, split) for split in sample.sizes},
                description="Drawn shapes: a small stand-in for photographs.",
            )
    finally:
        absl.setLevel(level)
        tfds.enable_progress_bar()
