"""The network of a run, or the networks of a fusion, as a function from images to probabilities."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from tfmodels.config import Config
from tfmodels.data.views import average_views
from tfmodels.errors import RunError, UsageError
from tfmodels.export.runtimes import Classify, load_exported
from tfmodels.fusion.combine import fitted_rule
from tfmodels.fusion.members import members_of, requirements
from tfmodels.models import alexnet  # noqa: F401  # registers its layers with Keras
from tfmodels.models.catalog import build, is_network
from tfmodels.models.weights.loading import load_weights
from tfmodels.runs.contents import MODEL, Run
from tfmodels.safe_files import LARGEST_JSON, open_file, open_zip, printable, read_member

Shape = tuple[int, int, int]
# From images of each shape that a network takes, (n, *shape) uint8, to probabilities (n, classes).
Predict = Callable[[dict[Shape, np.ndarray]], np.ndarray]


def classifier(run: Run) -> Classify:
    """Load the network of a run, or an exported one.

    Raises:
        UsageError: it is a SavedModel.
        RunError: its file is missing, damaged or can't be used.
    """
    if "export" not in run.config:
        classify: Classify = load_network(run).predict_on_batch
        return classify
    for name in run.checksums or {}:
        run.file(name)
    return load_exported(run.config["export"]["format"], run.path)


def predictor(run: Run, load: Callable[[Run], Classify] = classifier) -> tuple[Predict, set[Shape]]:
    """Return how a run predicts, with its views, or as a fusion of its members; and its shapes.

    Args:
        run: a training, a fusion or an exported network.
        load: loads the networks.

    Raises:
        UsageError: a member of a fusion isn't where it was.
        RunError: a file of a run is missing, damaged or can't be used.
    """
    if "members" not in run.config:
        classify, shape = load(run), run.config["dataset"]["image_shape"]
        return lambda images: predict_views(run, classify, images[shape]), {shape}
    members = members_of(run)
    settings = run.config["settings"]
    rule = fitted_rule(members, str(settings["method"]), bool(settings.get("calibrate")))
    return _together(members.runs, rule, load)


def predictor_of_all(
    runs: Sequence[Run], load: Callable[[Run], Classify] = classifier
) -> tuple[Predict, set[Shape]]:
    """Return how one run predicts, or several by the mean of their probabilities.

    Raises:
        UsageError: they are of different classes.
        RunError: as of `predictor`.
    """
    if len(runs) == 1:
        return predictor(runs[0], load)
    for run in runs[1:]:
        if requirements(run.config)["classes"] != requirements(runs[0].config)["classes"]:
            raise UsageError(f"{run.path} has other classes than {runs[0].path}: leave one out")
    return _together(runs, lambda probabilities: probabilities.mean(axis=0), load)


def _together(
    runs: Sequence[Run],
    rule: Callable[[np.ndarray], np.ndarray],
    load: Callable[[Run], Classify],
) -> tuple[Predict, set[Shape]]:
    parts = [predictor(run, load) for run in runs]
    shapes = set().union(*(shapes for _, shapes in parts))
    return lambda images: rule(np.stack([predict(images) for predict, _ in parts])), shapes


def predict_views(
    run: Run, predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray
) -> np.ndarray:
    """Return what a network predicts (n, classes), averaged over the views of its run."""
    return average_views(predict, images, str(run.config["settings"].get("views", "single")))


def load_network(run: Run) -> keras.Model:
    """Load the network of a run; of one of the catalogue only the weights are read.

    Raises:
        RunError: its file is missing, damaged, or not of the network that the run claims.
    """
    path = run.file(MODEL)
    try:
        model = _load(run, path)
    except RunError:
        raise
    except Exception as error:  # Keras raises whatever its parsers and layers do
        raise RunError(f"{path} can't be used ({printable(str(error))})") from error
    claimed = run.config.get("model", {}).get("parameters")
    if model.count_params() != claimed:
        raise RunError(f"{path} has {model.count_params():,} parameters, not {claimed:,}")
    return model


def _load(run: Run, path: Path) -> keras.Model:
    network, size = run.config["settings"].get("model"), run.config["settings"].get("image_size")
    if not is_network(str(network)) or not isinstance(size, int):
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
