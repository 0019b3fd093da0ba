"""Check that a run directory is what it says: its files, its metrics, and its predictions."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfmodels.errors import RunError, first_names
from tfmodels.evaluation import evaluate
from tfmodels.fusion.combine import fuse
from tfmodels.fusion.comparison import compare
from tfmodels.fusion.members import members_of
from tfmodels.fusion.methods import METHODS
from tfmodels.models import alexnet  # noqa: F401  # registers its layers with Keras
from tfmodels.prediction.networks import load_network, predict_views
from tfmodels.runs.contents import CONFIG, MODEL, PREDICTIONS, Run, open_run
from tfmodels.runs.formats import SavedMetrics
from tfmodels.runs.manifest import check_file, list_files
from tfmodels.safe_files import read_json

FUSION = "fusion.json"
# Largest differences of probabilities: between machines, and where layers compute in 16 bits.
TOLERANCE, TOLERANCE_16_BITS = 1e-3, 0.05


def verify(path: Path) -> Iterator[str]:
    """Check a run, and yield what was found, a line for each check.

    Its files are compared with its manifest, its metrics with its predictions, and its
    predictions with those of its network for the test images that the run directory holds, or
    with those of the members of a fusion.

    Raises:
        UsageError: it isn't a complete run directory.
        RunError: a check failed; the message names the file.
    """
    run = open_run(path)
    yield _check_files(run)
    yield _check_metrics(run)
    yield _check_members(run) if "members" in run.config else _check_network(run)


def _check_files(run: Run) -> str:
    checksums = run.checksums or {}
    for name in checksums:
        check_file(run.path, checksums, name)
    others = [name for name in list_files(run.path) if name not in checksums]
    also = f"; not part of the run: {first_names(others)}" if others else ""
    return f"files: {len(checksums)} match the manifest{also}"


def _check_metrics(run: Run) -> str:
    path = run.file("metrics.json")
    saved = read_json(path, SavedMetrics)
    predictions = run.predictions()
    if saved.keys() - {"training_flop"} != predictions.keys():
        raise RunError(f"{path} has metrics of {', '.join(saved)}, not of {', '.join(predictions)}")
    for split, found in predictions.items():
        class_names = run.config["dataset"]["class_names"]
        metrics = evaluate(found.labels, found.probabilities, class_names)
        for key, value in metrics.items():
            if not _same(saved[split][key], value):  # type: ignore[literal-required]
                raise RunError(f"{path} doesn't match the predictions: {key} in {split}")
    return f"metrics: match the predictions of {', '.join(predictions)}"


def _same(saved: object, computed: object) -> bool:
    """Return whether metrics are the same, but for the last digits of another NumPy's numbers."""
    if isinstance(computed, float):
        return isinstance(saved, int | float) and abs(saved - computed) < 1e-6
    if isinstance(computed, dict) and isinstance(saved, dict):
        same_keys = computed.keys() == saved.keys()
        return same_keys and all(_same(saved[key], value) for key, value in computed.items())
    if isinstance(computed, tuple) and isinstance(saved, tuple):
        return all(_same(*pair) for pair in zip(saved, computed, strict=True))
    return saved == computed


def _check_members(run: Run) -> str:
    config = run.config
    members = members_of(run)
    method = str(config["settings"]["method"])
    if method not in METHODS:
        raise RunError(f"{run.path / CONFIG} can't be used: there is no method {method!r}")
    fused, _ = fuse(members, method, bool(config["settings"].get("calibrate")))
    predictions = run.predictions()
    if predictions.keys() != members.splits.keys():
        raise RunError(f"{run.path / PREDICTIONS} has other splits than the members")
    for split, (ids, labels, _) in members.splits.items():
        found = predictions[split]
        if not (np.array_equal(found.ids, ids) and np.array_equal(found.labels, labels)):
            raise RunError(f"{run.path / PREDICTIONS} has other images than the members in {split}")
        _compare(run, f"the fused members in {split}", found.probabilities, fused[split], TOLERANCE)
    comparison = compare(members, {"fusion": predictions["test"].probabilities})
    saved = run.comparison()
    for key, value in comparison.items():
        if not _same(saved[key], value):  # type: ignore[literal-required]
            raise RunError(f"{run.path / FUSION} doesn't match the predictions: {key}")
    return f"predictions: those of the {len(config['members'])} members, fused"


def _check_network(run: Run) -> str:
    test = run.predictions()["test"]
    wrong = test.ids[test.probabilities.argmax(axis=1) != test.labels].tolist()
    mistakes, sample = run.images("mistakes.npz"), run.images("sample.npz")
    if set(mistakes) != set(wrong):
        raise RunError(f"{run.path / 'mistakes.npz'} has others than the misclassified images")
    if not sample or not set(sample) <= set(test.ids.tolist()):
        raise RunError(f"{run.path / 'sample.npz'} has images that aren't of the test split")
    images = sample | mistakes
    rows = np.flatnonzero(np.isin(test.ids, list(images)))
    inputs = np.stack([images[name] for name in test.ids[rows]])
    predict = functools.partial(load_network(run).predict, verbose=0)
    outputs = predict_views(run, predict, inputs)
    tolerance = (
        TOLERANCE if run.config["settings"].get("precision") == "float32" else TOLERANCE_16_BITS
    )
    difference = _compare(run, MODEL, test.probabilities[rows], outputs, tolerance)
    return (
        f"predictions: {MODEL} gives the same for the {len(rows)} test images that are kept, but "
        f"for {difference:.1g}"
    )


def _compare(
    run: Run, source: str, saved: np.ndarray, computed: np.ndarray, tolerance: float
) -> float:
    same_shape = saved.shape == computed.shape
    difference = float(abs(saved - computed).max()) if same_shape else math.inf
    if not difference <= tolerance:
        raise RunError(
            f"{run.path / PREDICTIONS} doesn't match {source}: probabilities differ by up "
            f"to {difference:.2g}"
        )
    return difference
