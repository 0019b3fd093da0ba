"""The built-in sample: drawn pictures that stand in for a data set where there is no network.

Ten classes of shapes and patterns, varied in place, size, turn, colour and noise, so that
it is a real if small problem: a linear classifier on the pixels stays under 60 %, the CNN
passes 90 % within three epochs (both are tests).
"""

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

NAME = "tfmodels_sample"
VERSION = "1.0.0"  # to be raised with every change of a picture: prepared copies are kept
SIZES = {"train": 5000, "test": 1000}
IMAGE_SIZE = 32
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


def draw(shape: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one picture of a shape: (size, size, 3) uint8."""
    radius = rng.uniform(0.24, 0.44) * size
    row, column = rng.uniform(radius, size - radius, 2)
    turn = rng.uniform(-0.25, 0.25)
    y, x = np.mgrid[:size, :size] + 0.5
    y, x = (y - row) / radius, (x - column) / radius
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    ground = rng.uniform(0, 255, 3)
    ink = (ground + rng.uniform(70, 185, 3) * rng.choice([-1, 1], 3)) % 255
    picture = np.where(SHAPES[shape](u, v)[..., None], ink, ground)
    picture += rng.normal(0, NOISE, picture.shape)
    return np.clip(picture, 0, 255).round().astype(np.uint8)


def examples(split: str) -> list[tuple[str, dict]]:
    """All (key, example) pairs of a split, the same on every machine."""
    rng = np.random.default_rng([list(SIZES).index(split), 2026])
    shapes = list(SHAPES)
    pairs = []
    for index in range(SIZES[split]):
        label = index % len(shapes)
        key = f"{split}_{index:05d}"
        picture = draw(shapes[label], IMAGE_SIZE, rng)
        pairs.append((key, {"id": key, "image": picture, "label": label}))
    return pairs


def prepare(data_dir: Path) -> None:
    """Draw the sample and store it as a TFDS data set under `data_dir`, unless it is there."""
    if (data_dir / NAME / VERSION).exists():
        return
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(IMAGE_SIZE, IMAGE_SIZE, 3)),
        "label": tfds.features.ClassLabel(names=list(SHAPES)),
    }
    print(f"drawing the sample data set, once, into {data_dir}", file=sys.stderr)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloading
            tfds.dataset_builders.store_as_tfds_dataset(
                name=NAME,
                version=VERSION,
                data_dir=data_dir,
                features=tfds.features.FeaturesDict(features),
                split_datasets={split: examples(split) for split in SIZES},
                description="Drawn shapes: a small stand-in for CIFAR-10.",
            )
    except Exception:
        if not (data_dir / NAME / VERSION).exists():  # else another process was faster
            raise
    finally:
        tfds.enable_progress_bar()
