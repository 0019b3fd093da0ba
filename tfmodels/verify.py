"""Check that a run directory is what it says: its files, its metrics, and its predictions."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from tfmodels.errors import RunError, first_names
from tfmodels.evaluation import evaluate
from tfmodels.fusion.combine import fuse
from tfmodels.fusion.members import load_members
from tfmodels.models import alexnet  # noqa: F401  # registers its layers with Keras
from tfmodels.models.catalog import NETWORKS, build
from tfmodels.models.weights.loading import load_weights
from tfmodels.runs.contents import Metrics, Run, open_run
from tfmodels.runs.manifest import check_file, list_files
from tfmodels.safe_files import read_json

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
    saved = read_json(path, dict[str, Metrics])
    predictions = run.predictions()
    if saved.keys() != predictions.keys():
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
    return saved == computed


def _check_members(run: Run) -> str:
    config = run.config
    members = load_members([Path(member["path"]) for member in config["members"]])
    for member, digest in zip(config["members"], members.checksums, strict=True):
        if digest != member["sha256"]:
            raise RunError(f"{member['path']} has other predictions than those that were fused")
    settings = config["settings"]
    fused, _ = fuse(members, str(settings["method"]), bool(settings["calibrate"]))
    for split, found in run.predictions().items():
        _compare(run, f"the fused members in {split}", found.probabilities, fused[split], TOLERANCE)
    return f"predictions: those of the {len(config['members'])} members, fused"


def _check_network(run: Run) -> str:
    images = run.images("sample.npz") | run.images("mistakes.npz")
    test = run.predictions()["test"]
    rows = np.flatnonzero(np.isin(test.ids, list(images)))
    outputs = _load_network(run).predict(
        np.stack([images[name] for name in test.ids[rows]]), verbose=0
    )
    tolerance = (
        TOLERANCE if run.config["settings"].get("precision") == "float32" else TOLERANCE_16_BITS
    )
    difference = _compare(run, "model.keras", test.probabilities[rows], outputs, tolerance)
    return f"predictions: model.keras gives those of {len(rows)} images within {difference:.1g}"


def _load_network(run: Run) -> keras.Model:
    """Return the network of a run; of one of the catalogue only the weights are read."""
    path, settings = run.file("model.keras"), run.config["settings"]
    network, size = settings.get("model"), settings.get("image_size")
    if network not in NETWORKS or not isinstance(size, int):
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    dataset = run.config["dataset"]
    model = build(str(network), dataset["image_shape"], len(dataset["class_names"]), size)
    load_weights(model, str(network), str(path))
    return model


def _compare(
    run: Run, source: str, saved: np.ndarray, computed: np.ndarray, tolerance: float
) -> float:
    difference = float(abs(saved - computed).max())
    if not difference <= tolerance:
        raise RunError(
            f"{run.path / 'predictions.npz'} doesn't match {source}: probabilities differ by up "
            f"to {difference:.2g}"
        )
    return difference
