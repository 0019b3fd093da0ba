"""The built-in samples: drawn pictures that stand in for a data set where there is no network.

Ten classes of shapes and patterns, varied in place, size, turn, colour and noise, so that
it is a real if small problem: a linear classifier on the pixels stays under 60 %, the CNN
passes 90 % within three epochs (both are tests). One sample stands in for CIFAR-10, one for
EuroSAT.
"""

import contextlib
import dataclasses
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

NOISE = 20.0  # standard deviation, of 255

Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) < 0.9


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

# Seen from above, a picture may be turned by a quarter: rows and columns are one class here.
LAND_SHAPES = {
    **{name: mask for name, mask in SHAPES.items() if name not in ("rows", "columns")},
    "stripes": SHAPES["rows"],
    "dots": lambda u, v: _square(u, v) & (np.sin(8 * u) > 0.2) & (np.sin(8 * v) > 0.2),
}


@dataclasses.dataclass(frozen=True)
class Sample:
    """A drawn TFDS data set.

    `version` is to be raised with every change of a picture: prepared copies are kept.
    `id_feature` is the feature that identifies an example, as in the data set it stands for.
    """

    name: str
    version: str
    id_feature: str
    image_size: int
    sizes: Mapping[str, int]
    shapes: Mapping[str, Mask]


CIFAR_SAMPLE = Sample("tfmodels_sample", "1.0.0", "id", 32, {"train": 5000, "test": 1000}, SHAPES)
EUROSAT_SAMPLE = Sample("tfmodels_sample64", "1.0.0", "filename", 64, {"train": 2000}, LAND_SHAPES)


def draw(mask: Mask, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one picture of a shape: (size, size, 3) uint8."""
    radius = rng.uniform(0.24, 0.44) * size
    row, column = rng.uniform(radius, size - radius, 2)
    turn = rng.uniform(-0.25, 0.25)
    y, x = np.mgrid[:size, :size] + 0.5
    y, x = (y - row) / radius, (x - column) / radius
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    ground = rng.uniform(0, 255, 3)
    ink = (ground + rng.uniform(70, 185, 3) * rng.choice([-1, 1], 3)) % 255
    picture = np.where(mask(u, v)[..., None], ink, ground)
    picture += rng.normal(0, NOISE, picture.shape)
    return np.clip(picture, 0, 255).round().astype(np.uint8)


def examples(sample: Sample, split: str) -> list[tuple[str, dict]]:
    """All (key, example) pairs of a split, the same on every machine."""
    rng = np.random.default_rng([list(sample.sizes).index(split), 2026])
    masks = list(sample.shapes.values())
    pairs = []
    for index in range(sample.sizes[split]):
        label = index % len(masks)
        key = f"{split}_{index:05d}"
        picture = draw(masks[label], sample.image_size, rng)
        pairs.append((key, {sample.id_feature: key, "image": picture, "label": label}))
    return pairs


def prepare(sample: Sample, data_dir: Path) -> None:
    """Draw a sample and store it as a TFDS data set under `data_dir`, unless it is there."""
    folder = data_dir / sample.name / sample.version
    if folder.exists():
        return
    features = {
        sample.id_feature: tfds.features.Text(),
        "image": tfds.features.Image(shape=(sample.image_size, sample.image_size, 3)),
        "label": tfds.features.ClassLabel(names=list(sample.shapes)),
    }
    print(f"drawing the sample data set, once, into {data_dir}", file=sys.stderr)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloading
            tfds.dataset_builders.store_as_tfds_dataset(
                name=sample.name,
                version=sample.version,
                data_dir=data_dir,
                features=tfds.features.FeaturesDict(features),
                split_datasets={split: examples(sample, split) for split in sample.sizes},
                description="Drawn shapes: a small stand-in for photographs.",
            )
    except Exception:
        if not folder.exists():  # else another process was faster
            raise
    finally:
        tfds.enable_progress_bar()
