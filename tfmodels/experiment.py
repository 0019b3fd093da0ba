"""The experiments of both parts, each from settings to run directory."""

import dataclasses
import functools
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfmodels import environment, plots
from tfmodels.data.eurosat import load_eurosat
from tfmodels.data.images import ImageData, Split, load_data
from tfmodels.models.alexnet import alexnet, alexnet_bvlc
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.models.vgg import vgg
from tfmodels.runs.predictions import Predictions, save_mistakes, save_predictions
from tfmodels.report.results import write_results
from tfmodels.runs.directory import check_free, new_run, now, write_json
from tfmodels.config import CifarSettings, EurosatSettings, Settings
from tfmodels.report.tables import summary
from tfmodels.training.fit import predict, train
from tfmodels.training.features import compute_features, predict_head, train_head
from tfmodels.models.weights.loading import load_weights

Build = Callable[[], tuple[ImageData, keras.Model]]
Predict = Callable[[Split], np.ndarray]
NETWORKS = {"mobilenetv2": mobilenetv2, "alexnet": alexnet, "alexnet-bvlc": alexnet_bvlc}


def run_cifar(settings: CifarSettings, path: Path, overwrite: bool = False) -> str:
    """Train the study's CNN, judge it, and leave a complete run directory at the path.

    The model and the predictions are those of the last epoch, as in the study.

    Returns:
        The test results in words and tables.

    Raises:
        UsageError: the settings don't fit the data, or the path is taken.
        RunError: the data can't be had, or training failed; what there is so far is kept.
    """

    def build() -> tuple[ImageData, keras.Model]:
        """The pictures and a network for them."""
        data = load_data(settings.data, settings.data_dir, settings.seed, settings.limit)
        return data, vgg(data.image_shape, len(data.class_names))

    def learn(model: keras.Model, data: ImageData, work: Path) -> Predict:
        """Train all layers; gives what predicts a split."""
        train(model, data, settings, work)
        return functools.partial(predict, model)

    return _run(settings, path, overwrite, build, learn)


def run_eurosat(settings: EurosatSettings, path: Path, overwrite: bool = False) -> str:
    """Train a network on EuroSAT, judge it, and leave a complete run directory at the path.

    As `run_cifar`. With `head-then-all` the head's own history is in the folder `head`.

    Raises:
        UsageError: the settings don't fit the data, or the path is taken.
        RunError: data or weights can't be had, or training failed; what there is so far is kept.
    """

    def build() -> tuple[ImageData, keras.Model]:
        """The pictures and a network for them, with the weights it starts from."""
        data = load_eurosat(
            settings.data,
            settings.data_dir,
            settings.seed,
            settings.limit,
            settings.split,
            Path(settings.archive) if settings.archive else None,
        )
        classes = len(data.class_names)
        model = NETWORKS[settings.model](data.image_shape, classes, settings.image_size)
        load_weights(model, settings.weights)
        return data, model

    def learn(model: keras.Model, data: ImageData, work: Path) -> Predict:
        """Train the layers that shall learn; gives what predicts a split."""
        if settings.train == "all":
            train(model, data, settings, work)
            return functools.partial(predict, model)
        features = compute_features(model, data)
        if settings.train == "head":
            train_head(model, features, data, settings, work)
            return functools.partial(predict_head, model, features)
        (work / "head").mkdir()
        train_head(model, features, data, settings, work / "head")
        train(model, data, settings, work)
        return functools.partial(predict, model)

    return _run(settings, path, overwrite, build, learn)


def _run(
    settings: Settings,
    path: Path,
    overwrite: bool,
    build: Build,
    learn: Callable[[keras.Model, ImageData, Path], Predict],
) -> str:
    started = now()
    check_free(path, overwrite)
    _make_repeatable(settings)
    data, model = build()
    config = _describe(settings, data, model) | {"started": started}
    with new_run(path, overwrite) as work:
        write_json(work / "config.json", config)
        predict_split = learn(model, data, work)
        splits = {
            name: Predictions(split.ids, split.labels, predict_split(split))
            for name, split in (("val", data.val), ("test", data.test))
        }
        save_predictions(work / "predictions.npz", splits, data.class_names)
        _keep_mistakes(work / "mistakes.npz", data.test, splits["test"].probabilities)
        (work / "figures").mkdir()
        plots.save(plots.architecture(model), work / "figures" / "architecture.png")
        write_json(work / "config.json", config | {"ended": now()})
        write_results(work)
    return summary(path)


def _keep_mistakes(path: Path, split: Split, probabilities: np.ndarray) -> None:
    wrong = probabilities.argmax(axis=1) != split.labels
    pictures = (image for image, _ in split.dataset.as_numpy_iterator())
    save_mistakes(path, split.ids[wrong], list(itertools.compress(pictures, wrong)))


def _make_repeatable(settings: Settings) -> None:
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _describe(settings: Settings, data: ImageData, model: keras.Model) -> dict[str, Any]:
    return {
        "settings": dataclasses.asdict(settings),
        "seed": settings.seed,
        "command": sys.argv,
        "dataset": {
            "name": data.name,
            "version": data.version,
            "class_names": data.class_names,
            "split": data.split,
            "splits": {name: len(getattr(data, name)) for name in ("train", "val", "test")},
        },
        "model": {"name": model.name, "parameters": model.count_params()},
        "backend": keras.backend.backend(),
        "versions": environment.versions(*{keras.backend.backend()} - {"tensorflow"}),
        "hardware": environment.hardware() | {"devices": keras.distribution.list_devices()},
    }
