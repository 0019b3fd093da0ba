"""A training run, from config to complete run directory."""

import contextlib
import dataclasses
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfmodels.config import Config
from tfmodels.data.images import ImageData, load_data
from tfmodels.description import announce, describe, initial_weights, plain_name, start_number
from tfmodels.errors import UsageError
from tfmodels.grad_cam import grad_cam, overlay
from tfmodels.models.catalog import build, network_spec
from tfmodels.models.weights.loading import load_weights
from tfmodels.recipes import run_name
from tfmodels.report import plots
from tfmodels.report.index import write_index
from tfmodels.report.page import MISTAKES
from tfmodels.report.results import write_results
from tfmodels.runs import environment
from tfmodels.runs.contents import open_unfinished
from tfmodels.runs.continuation import begin_extension, check_same, check_settings, previous_run
from tfmodels.runs.directory import RESULTS, new_run, now, run_path
from tfmodels.runs.predictions import TOLERANCE, Predictions, save_images, save_predictions
from tfmodels.safe_files import write_json
from tfmodels.training.distribution import (
    alone,
    check_share,
    helping,
    is_first,
    share_state,
    watched,
)
from tfmodels.training.fit import Stage, count_flop, predict, train_model
from tfmodels.training.state import read_state

PREPARED = 1000  # training images from which some networks make their first weights
SAMPLE = 32  # test images that a run keeps, by which its predictions can be checked


def run(
    config: Config | None = None,
    data: ImageData | None = None,
    model: keras.Model | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    overwrite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Path:
    """Train a network, judge it, and leave a complete run directory.

    A run of the same name that was interrupted is continued, and one of fewer epochs extended.

    The model and the predictions are those of the last epoch, as in the study; with early
    stopping those of the best.

    Args:
        config: the settings; by default the study's best row of Table 1.
        data: images of one's own, in place of those that the config names.
        model: a Keras model of one's own, in place of the network that the config names: from
            raw pixels, 0 to 255, of the data's shape to probabilities.
        out: folder of the run directories.
        name: of the run directory; by default from the settings.
        overwrite: start over, and replace a run of that name once the new one is complete.
        callbacks: of Keras, called after those of the run; their own state isn't kept.

    Returns:
        The path of the run directory; docs/REFERENCE.md says what it holds.

    Raises:
        UsageError: the settings don't fit the data or each other, or the path is taken by a run
            that was made differently.
        RunError: data or weights aren't there or are damaged, or training failed; what there
            is so far is kept.
        Interrupted: the user or the system wants to stop; the same call goes on.
    """
    config = config or Config()
    config.check_files()
    started = now()
    own = _own_settings(config, data, model)
    default_name = run_name(config, own.get("data", ""), own.get("model", ""))
    path = run_path(Path(out), default_name if name is None else name)
    check_share(config)
    if is_first():
        check_settings(path, dataclasses.asdict(config) | own, overwrite)
    environment.hide_gpus_from_tensorflow()
    with _keras_settings(config), watched():
        data = data.limited(config.limit, config.seed_of_split()) if data else load_data(config)
        keras.utils.set_random_seed(config.seed)  # after the data: preparing them may use it up
        network = model or build_network(config, data)
        check_model(network, data)
        check_image_shape(config, data)
        if model is not None:
            check_probabilities(model, data)
        description = describe(config, data, network) | {"started": started}
        description["settings"] |= own
        description["model"]["initial_weights"] = initial_weights(config, model)
        if not is_first():
            with helping() as directory:
                train_model(network, data, config, directory, share_state(directory), callbacks)
            return path
        announce(description, network, data, path)
        with new_run(path, overwrite, replace=True) as directory:
            description = _go_on(path, directory, description, overwrite)
            start = start_number(description["model"]["initial_weights"])
            _train_and_judge(network, data, config, directory, start, callbacks)
            description["training_flop"] = count_flop(network, data, config.trainable, directory)
            write_json(directory / "config.json", description | {"ended": now()})
            write_results(directory)
    write_index(path.parent)
    return path


def _go_on(
    path: Path, directory: Path, description: dict[str, Any], overwrite: bool
) -> dict[str, Any]:
    """Begin a run, or make the directory ready to go on with one; return its config.json.

    Raises:
        UsageError: an earlier run at the path was made differently.
    """
    previous = previous_run(path, overwrite)
    if previous is not None:
        if model_is_own(description):  # its weights are those of a new start, or trained already
            description["model"]["initial_weights"] = previous.config["model"]["initial_weights"]
        check_same(previous, description)
        for name in set(RESULTS) - {"config.json"}:  # of fewer epochs
            (directory / name).unlink(missing_ok=True)
        description |= {
            "started": previous.config["started"],
            "continued": [*previous.config.get("continued", []), description["started"]],
        }
    write_json(directory / "config.json", description)
    open_unfinished(directory)  # what readers would refuse is refused before the training
    if previous is not None and previous.path == path:
        begin_extension(previous, directory)
    state = read_state(directory)
    if state is not None:
        print(f"{'from:':<9}epoch {state.epoch + 1}, step {state.step + 1}", file=sys.stderr)
    return description


def _train_and_judge(
    network: keras.Model,
    data: ImageData,
    config: Config,
    directory: Path,
    start: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train a network, with what other processes share of it, and judge it in this one."""
    share_state(directory, start)
    last = train_model(network, data, config, directory, start, callbacks)
    with alone(network) as judged:
        if last.network is network:
            last = dataclasses.replace(last, network=judged)
        _judge(last, config.views, judged, data, directory)


def model_is_own(description: dict[str, Any]) -> bool:
    """Return whether a run is of a model of one's own, which has no `weights`."""
    return description["settings"]["weights"] is None


def _judge(last: Stage, views: str, network: keras.Model, data: ImageData, directory: Path) -> None:
    """Predict the validation and test images, and keep what reports need of them."""
    predictions = {
        part: Predictions(split.ids, split.labels, predict(last.network, split, part, views))
        for part, split in (("val", last.data.val), ("test", last.data.test))
    }
    save_predictions(directory / "predictions.npz", predictions, data.class_names)
    wrong = predictions["test"].mistakes()
    _save_grad_cam(network, data, predictions["test"], wrong[:MISTAKES], directory)
    sample = np.unique(np.linspace(0, len(data.test) - 1, SAMPLE).round().astype(int))
    for name, rows in (("mistakes.npz", np.sort(wrong)), ("sample.npz", sample)):
        save_images(directory / name, data.test.ids[rows], list(data.test.images[rows]))
    (directory / "figures").mkdir(exist_ok=True)
    plots.save(plots.architecture(network), directory / "figures" / "architecture.png")


def _save_grad_cam(
    network: keras.Model, data: ImageData, test: Predictions, rows: np.ndarray, directory: Path
) -> None:
    """Keep what speaks for the classes that were mistaken; of a model without maps, nothing."""
    images, heated = data.test.images[rows], []
    if len(rows) and images.shape[-1] == 3:
        # A model of one's own may have neither maps nor a graph of layers.
        with contextlib.suppress(ValueError, AttributeError):
            shares = grad_cam(network, images, test.probabilities[rows].argmax(axis=1))
            heated = list(overlay(images, shares))
    save_images(directory / "grad_cam.npz", test.ids[rows[: len(heated)]], heated)


@contextlib.contextmanager
def _keras_settings(config: Config) -> Iterator[None]:
    """Set precision and determinism; afterwards precision is as it was.

    Determinism stays on in this process: TensorFlow has no public way to turn it off.
    """
    policy = keras.config.dtype_policy()
    if config.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(config.precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def build_network(config: Config, data: ImageData) -> keras.Model:
    """Build the network that a config names, for some data, with the weights it starts from.

    Raises:
        UsageError: the weights are of a kind that the network doesn't take.
        RunError: the weights can't be downloaded, are damaged, or don't fit.
    """
    model = build(config.model, data.image_shape, len(data.class_names), config.image_size)
    load_weights(model, config.model, config.weights)
    prepare = network_spec(config.model).prepare
    if prepare and config.weights == "none":
        rows = np.linspace(0, len(data.train) - 1, PREPARED).astype(int)
        pkgutil.resolve_name(prepare)(model, data.train.images[np.unique(rows)])
    return model


def check_model(model: keras.Model, data: ImageData) -> None:
    """Check that a model takes the data's images and returns as many probabilities as classes.

    Raises:
        UsageError: it doesn't.
    """
    try:
        shapes = model.input_shape[1:], model.output_shape[1:]
    except AttributeError as error:
        raise UsageError(
            f"`model` is a {type(model).__name__} without fixed shapes: it must be a functional or "
            "sequential model"
        ) from error
    required = data.image_shape, (len(data.class_names),)
    fits = all(
        len(shape) == len(need) and all(a in (None, b) for a, b in zip(shape, need, strict=True))
        for shape, need in zip(shapes, required, strict=True)
    )
    if not fits:
        raise UsageError(
            f"`model` maps {shapes[0]} to {shapes[1]}: for these data it must map {required[0]} "
            f"to {required[1]}"
        )


def check_probabilities(model: keras.Model, data: ImageData) -> None:
    """Check that a model returns probabilities, on the first validation images.

    Raises:
        UsageError: it doesn't; predictions could not be judged.
    """
    outputs = np.asarray(model.predict_on_batch(data.val.images[np.arange(min(8, len(data.val)))]))
    if outputs.min() < 0 or abs(outputs.sum(axis=1) - 1).max() > TOLERANCE:
        raise UsageError(
            "`model` returns values that aren't probabilities: end it with a softmax activation"
        )


def check_image_shape(config: Config, data: ImageData) -> None:
    """Check that images can be turned, which only square ones can, where that is asked for.

    Raises:
        UsageError: they aren't.
    """
    height, width, _ = data.image_shape
    if config.views == "turns" and height != width:
        raise UsageError(
            f"`views=turns` turns images, and these are {height} x {width}: choose other `views`"
        )


def _own_settings(
    config: Config, data: ImageData | None, model: keras.Model | None
) -> dict[str, Any]:
    """Return the settings that data and a model of one's own replace.

    Raises:
        UsageError: a setting is asked for that only networks of the catalogue have.
    """
    own: dict[str, Any] = {} if data is None else {"data": data.name}
    if model is None:
        return own
    if config.weights != "none":
        raise UsageError("`weights` is for networks by name: load them into your `model` yourself")
    if config.precision != "float32":
        raise UsageError(
            "`precision` is for networks by name: give the layers of your `model` a dtype policy"
        )
    return own | {
        "model": plain_name(model),
        "image_size": None,
        "weights": None,
        "precision": model.dtype_policy.name,
    }
