"""Saved predictions: all that evaluation, figures and fusion ever look at."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfmodels.errors import RunError, UsageError, first_names

TOLERANCE = 1e-3  # of the sum of a picture's probabilities; float16 networks need some


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
        RunError: the file is missing, damaged, not of `save_predictions`, or what it holds
            are no probabilities.
    """
    splits, class_names = _read(path)
    if "test" not in splits or len(set(class_names)) < len(class_names):
        fault = "a class name is there twice" if "test" in splits else "it has no test pictures"
        raise RunError(f"{path} can't be used: {fault}; make the run anew")
    for name, split in splits.items():
        fault = _fault(split, len(class_names))
        if fault:
            raise RunError(f"{path} can't be used: in {name} {fault}; make the run anew")
    return splits, class_names


def checksum(path: Path) -> str:
    """The SHA-256 of a file of predictions, in hexadecimal.

    Raises:
        RunError: it is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: make the run anew") from error


def save_mistakes(path: Path, ids: np.ndarray, images: list[np.ndarray]) -> None:
    """Keep the test pictures that weren't recognised, so that reports need no data set.

    What no member takes for another class, their mean doesn't either, so a fusion finds the
    pictures of its mistakes among its members'.

    Args:
        path: where to write `ids` and `images`.
        ids: of the pictures (n,).
        images: the pictures, (height, width, 3) uint8 each.
    """
    part = path.with_name("part.npz")
    np.savez_compressed(part, ids=ids, images=np.array(images, np.uint8))
    part.replace(path)


def load_mistakes(path: Path) -> dict[str, np.ndarray]:
    """The pictures of `save_mistakes` by id.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, images = arrays["ids"], arrays["images"]
            if len(ids) and (images.dtype != np.uint8 or images.shape[3:] != (3,)):
                raise ValueError(f"images have type {images.dtype} and shape {images.shape}")
            return dict(zip(ids.tolist(), images, strict=True))
    except Exception as error:  # a damaged archive can raise anything
        raise RunError(f"{path} can't be read as pictures ({error})") from error


def align(members: Mapping[str, Predictions]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bring several networks' predictions into the order of the first, by id.

    Args:
        members: by the name that an error shall use.

    Returns:
        ids (n,), labels (n,) and probabilities (n_models, n, classes) float32.

    Raises:
        UsageError: they aren't about the same pictures, or disagree on their true classes.
    """
    first_name, first = next(iter(members.items()))
    stack = np.empty((len(members), *first.probabilities.shape), np.float32)
    by_id = np.argsort(first.ids)
    for row, (name, member) in enumerate(members.items()):
        if np.array_equal(member.ids, first.ids):
            labels, stack[row] = member.labels, member.probabilities
        else:
            _check_same_pictures(first_name, first.ids, name, member.ids)
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


def _check_same_pictures(first: str, ids: np.ndarray, name: str, others: np.ndarray) -> None:
    for here, there, known, unknown in ((name, first, others, ids), (first, name, ids, others)):
        only = np.setdiff1d(known, unknown)
        if len(only):
            raise UsageError(
                f"{here} was judged on other pictures than {there}, such as "
                f"{first_names(only.tolist())}: only runs with the same split can be fused "
                "(same --split, --seed and data)"
            )


def _fault(split: Predictions, classes: int) -> str:
    """What is wrong with predictions, in words; empty if nothing is."""
    ids, labels, probabilities = split.ids, split.labels, split.probabilities
    if probabilities.dtype.kind != "f":
        return f"the probabilities have type {probabilities.dtype}"
    if probabilities.ndim != 2 or probabilities.shape[1] != classes:
        return f"the probabilities have shape {probabilities.shape}, for {classes} classes"
    if not len(ids) == len(labels) == len(probabilities) > 0:
        return f"there are {len(ids)} ids, {len(labels)} labels, {len(probabilities)} predictions"
    if ids.ndim != 1 or ids.dtype.kind != "U":
        return f"the ids have type {ids.dtype} and shape {ids.shape}"
    if len(np.unique(ids)) < len(ids):
        return "an id is there twice"
    if labels.ndim != 1 or labels.dtype.kind != "i" or labels.min() < 0 or labels.max() >= classes:
        return f"the labels aren't whole numbers from 0 to {classes - 1}"
    faults = {
        "aren't numbers": ~np.isfinite(probabilities).all(axis=1),
        "are negative": (probabilities < 0).any(axis=1),
        f"don't sum to 1 within {TOLERANCE}": abs(probabilities.sum(axis=1) - 1) > TOLERANCE,
    }
    for fault, rows in faults.items():
        if rows.any():
            return f"probabilities {fault}, such as those of {first_names(ids[rows].tolist())}"
    return ""


def _read(path: Path) -> tuple[dict[str, Predictions], tuple[str, ...]]:
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
