"""Check that a run directory is what it says: its files, its metrics, and its predictions."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from tfmodels.config import Config
from tfmodels.data.views import average_views
from tfmodels.errors import RunError, first_names
from tfmodels.evaluation import evaluate
from tfmodels.fusion.combine import fuse
from tfmodels.fusion.comparison import compare
from tfmodels.fusion.members import load_members
from tfmodels.fusion.methods import METHODS
from tfmodels.models import alexnet  # noqa: F401  # registers its layers with Keras
from tfmodels.models.catalog import NETWORKS, build
from tfmodels.models.weights.loading import load_weights
from tfmodels.runs.contents import CONFIG, PREDICTIONS, Run, open_run
from tfmodels.runs.formats import SavedMetrics
from tfmodels.runs.manifest import check_file, list_files
from tfmodels.safe_files import LARGEST_JSON, open_file, open_zip, printable, read_json, read_member

FUSION, MODEL = "fusion.json", "model.keras"
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
    members = load_members([Path(member["path"]) for member in config["members"]])
    for member, digest in zip(config["members"], members.checksums, strict=True):
        if digest != member["sha256"]:
            raise RunError(f"{member['path']} has other predictions than those that were fused")
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
    outputs = _predict(run, np.stack([images[name] for name in test.ids[rows]]))
    tolerance = (
        TOLERANCE if run.config["settings"].get("precision") == "float32" else TOLERANCE_16_BITS
    )
    difference = _compare(run, MODEL, test.probabilities[rows], outputs, tolerance)
    return f"predictions: {MODEL} gives those of {len(rows)} images within {difference:.1g}"


def _predict(run: Run, images: np.ndarray) -> np.ndarray:
    """Return the probabilities (n, classes) that the network of a run gives.

    Raises:
        RunError: its file can't be used.
    """
    path = run.file(MODEL)
    try:
        model = _load_network(run, path)
        views = str(run.config["settings"].get("views", "single"))
        outputs = average_views(functools.partial(model.predict, verbose=0), images, views)
    except RunError:
        raise
    except Exception as error:  # Keras raises whatever its parsers and layers do
        raise RunError(f"{path} can't be used ({printable(str(error))})") from error
    claimed = run.config.get("model", {}).get("parameters")
    if model.count_params() != claimed:
        raise RunError(f"{path} has {model.count_params():,} parameters, not {claimed:,}")
    return outputs


def _load_network(run: Run, path: Path) -> keras.Model:
    """Load the network of a run; of one of the catalogue only the weights are read."""
    network, size = run.config["settings"].get("model"), run.config["settings"].get("image_size")
    if network not in NETWORKS or not isinstance(size, int):
        _check_claim(run, path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    Config(model=str(network), image_size=size)  # checks the size
    dataset = run.config["dataset"]
    model = build(str(network), dataset["image_shape"], len(dataset["class_names"]), size)
    load_weights(model, str(network), str(path))
    return model


def _check_claim(run: Run, path: Path) -> None:
    """Check how many parameters a `.keras` file claims, before memory is allocated for them.

    Raises:
        ValueError: it isn't the run's, or is more than the file can hold.
    """
    with open_file(path) as file, open_zip(file) as archive:
        structure = read_member(archive, "config.json", LARGEST_JSON).decode()
    with keras.StatelessScope():  # where variables have shapes only
        claimed = keras.models.model_from_json(structure).count_params()
    if claimed != run.config.get("model", {}).get("parameters") or claimed > path.stat().st_size:
        raise ValueError(f"it claims {claimed:,} parameters")


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
