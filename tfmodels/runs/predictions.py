"""Saved predictions, from which evaluation, figures, fusion and reports are made."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tfmodels.errors import RunError, UsageError, first_names
from tfmodels.safe_files import read_arrays, write_arrays

TOLERANCE = 1e-3  # of the sum of an image's probabilities; float16 networks need it


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A network's predictions for the images of one split.

    Attributes:
        ids: names of the images (n,) str.
        labels: true classes (n,) int.
        probabilities: predicted (n, classes) float32.
    """

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    def mistakes(self) -> np.ndarray:
        """Return the rows of the misclassified images, those of highest confidence first."""
        wrong = np.flatnonzero(self.probabilities.argmax(axis=1) != self.labels)
        order = np.argsort(-self.probabilities[wrong].max(axis=1), kind="stable")
        return wrong[order]


def save_predictions(
    path: Path, splits: dict[str, Predictions], class_names: tuple[str, ...]
) -> None:
    """Write `<split>_ids`, `<split>_labels`, `<split>_probabilities` and `class_names`."""
    arrays = {
        f"{name}_{field}": value
        for name, split in splits.items()
        for field, value in vars(split).items()
    }
    write_arrays(path, {"class_names": np.array(class_names), **arrays})


def load_predictions(path: Path, most: int) -> tuple[dict[str, Predictions], tuple[str, ...]]:
    """Return the predictions of all splits, by name, and the class names.

    Args:
        path: of the file.
        most: bytes that its arrays may take.

    Raises:
        RunError: the file is missing, damaged, not from `save_predictions`, or doesn't hold
            probabilities.
    """
    splits, class_names = _read(path, most)
    if "test" not in splits or len(set(class_names)) < len(class_names):
        fault = "a class name occurs twice" if "test" in splits else "it has no test images"
        raise RunError(f"{path} can't be used: {fault}; train again")
    for name, split in splits.items():
        fault = next(_faults(split, len(class_names)), "")
        if fault:
            raise RunError(f"{path} can't be used: in {name} {fault}; train again")
    return splits, class_names


def save_images(path: Path, ids: np.ndarray, images: list[np.ndarray]) -> None:
    """Save some test images, so that reports and checks don't need the data set.

    Args:
        path: where to write `ids` and `images`.
        ids: names of the images (n,).
        images: the images, (height, width, 3) uint8 each.
    """
    write_arrays(path, {"ids": ids, "images": np.array(images, np.uint8)})


def load_images(path: Path, most: int) -> dict[str, np.ndarray]:
    """Return the images of `save_images` by id.

    Args:
        path: of the file.
        most: bytes that its arrays may take.

    Raises:
        RunError: the file is missing or damaged.
    """
    arrays = read_arrays(path, most)
    try:
        ids, images = arrays["ids"], arrays["images"]
        if ids.ndim != 1 or (
            len(ids) and (images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3)
        ):
            raise ValueError(f"images have type {images.dtype} and shape {images.shape}")
        return dict(zip(ids.tolist(), images, strict=True))
    except (KeyError, ValueError) as error:
        raise RunError(f"{path} can't be read as images ({error})") from error


def align(members: Mapping[str, Predictions]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stack the predictions of several networks, in the order of the first one's images.

    Args:
        members: predictions by the name that an error message uses.

    Returns:
        ids (n,), labels (n,) and probabilities (n_models, n, classes) float32.

    Raises:
        UsageError: they are for different images, or disagree on the true classes.
    """
    first_name, first = next(iter(members.items()))
    stack = np.empty((len(members), *first.probabilities.shape), np.float32)
    by_id = np.argsort(first.ids)
    for row, (name, member) in enumerate(members.items()):
        if np.array_equal(member.ids, first.ids):
            labels, stack[row] = member.labels, member.probabilities
        else:
            _check_same_images(first_name, first.ids, name, member.ids)
            order = np.empty(len(by_id), int)
            order[by_id] = np.argsort(member.ids)
            labels, stack[row] = member.labels[order], member.probabilities[order]
        differ = np.flatnonzero(labels != first.labels)
        if len(differ):
            raise UsageError(
                f"{name} and {first_name} disagree on the true class of "
                f"{first_names(first.ids[differ].tolist())}: they can't be fused"
            )
    return first.ids, first.labels, stack


def _check_same_images(first: str, ids: np.ndarray, name: str, other_ids: np.ndarray) -> None:
    for run, other, run_ids, rest in (
        (name, first, other_ids, ids),
        (first, name, ids, other_ids),
    ):
        only = np.setdiff1d(run_ids, rest)
        if len(only):
            raise UsageError(
                f"{run} was evaluated on other images than {other}, such as "
                f"{first_names(only.tolist())}: only runs with the same `data`, `split_scheme` and "
                "`seed` can be fused"
            )


def _faults(split: Predictions, classes: int) -> Iterator[str]:
    """Yield what is wrong with predictions, in words; later checks need earlier ones to pass."""
    ids, labels, probabilities = split.ids, split.labels, split.probabilities
    if probabilities.dtype.kind != "f":
        yield f"the probabilities have type {probabilities.dtype}"
    if probabilities.ndim != 2 or probabilities.shape[1] != classes:
        yield f"the probabilities have shape {probabilities.shape}, for {classes} classes"
    if ids.ndim != 1 or ids.dtype.kind != "U":
        yield f"the ids have type {ids.dtype} and shape {ids.shape}"
    if labels.ndim != 1 or not len(ids) == len(labels) == len(probabilities) > 0:
        yield f"there are {len(ids)} ids, labels {labels.shape}, {len(probabilities)} predictions"
    if len(np.unique(ids)) < len(ids):
        yield "an id occurs twice"
    if labels.dtype.kind != "i" or labels.min() < 0 or labels.max() >= classes:
        yield f"the labels aren't whole numbers from 0 to {classes - 1}"
    faults = {
        "aren't numbers": ~np.isfinite(probabilities).all(axis=1),
        "are negative": (probabilities < 0).any(axis=1),
        f"don't sum to 1 within {TOLERANCE}": abs(probabilities.sum(axis=1) - 1) > TOLERANCE,
    }
    for fault, rows in faults.items():
        if rows.any():
            yield f"probabilities {fault}, such as those of {first_names(ids[rows].tolist())}"


def _read(path: Path, most: int) -> tuple[dict[str, Predictions], tuple[str, ...]]:
    arrays = read_arrays(path, most)
    fields = [field.name for field in dataclasses.fields(Predictions)]
    names = [key.removesuffix("_ids") for key in arrays if key.endswith("_ids")]
    missing = {f"{name}_{field}" for name in names for field in fields} | {"class_names"}
    missing -= arrays.keys()
    if missing:
        raise RunError(f"{path} can't be used: it lacks {', '.join(sorted(missing))}; train again")
    class_names = arrays["class_names"]
    if class_names.ndim != 1 or class_names.dtype.kind != "U":
        raise RunError(
            f"{path} can't be used: the class names have type {class_names.dtype} and shape "
            f"{class_names.shape}; train again"
        )
    splits = {name: Predictions(*(arrays[f"{name}_{field}"] for field in fields)) for name in names}
    return splits, tuple(class_names.tolist())
