"""Saved predictions: all that evaluation, figures and fusion ever look at."""

import dataclasses
from pathlib import Path

import numpy as np

from tfmodels.errors import RunError


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a network said about the pictures of one split.

    `ids` (n,) str; `labels` (n,) int, the truth; `probabilities` (n, classes) float32.
    """

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def save_predictions(
    path: Path, splits: dict[str, Predictions], class_names: tuple[str, ...]
) -> None:
    """Write `<split>_ids`, `<split>_labels`, `<split>_probabilities` and `class_names`."""
    arrays = {
        f"{name}_{field}": value
        for name, split in splits.items()
        for field, value in vars(split).items()
    }
    part = path.with_name("part.npz")
    np.savez_compressed(part, class_names=np.array(class_names), **arrays)
    part.replace(path)


def load_predictions(path: Path) -> tuple[dict[str, Predictions], tuple[str, ...]]:
    """Read the predictions of all splits and the class names.

    Raises:
        RunError: the file is missing, damaged, or not of `save_predictions`.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = [key.removesuffix("_ids") for key in arrays if key.endswith("_ids")]
            splits = {
                name: Predictions(
                    *(arrays[f"{name}_{field.name}"] for field in dataclasses.fields(Predictions))
                )
                for name in names
            }
            return splits, tuple(arrays["class_names"].tolist())
    except Exception as error:  # a damaged archive can raise anything
        raise RunError(f"{path} can't be read as predictions ({error})") from error
