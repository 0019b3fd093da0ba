"""Train a network in stages, and predict with it."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from sklearn.utils import compute_class_weight
from tqdm import tqdm

from tfmodels.config import Config
from tfmodels.data.images import ImageData, Split
from tfmodels.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from tfmodels.errors import RunError
from tfmodels.models.parts import classifier_head
from tfmodels.training.callbacks import History, KeepModel, Progress, StepDecay, save_model
from tfmodels.training.features import compute_features
from tfmodels.training.optimizers import build_loss, build_optimizer


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a training: a network and the data it learns from.

    The network may be a part of the model: the classifier head, which learns from features.
    """

    name: str
    network: keras.Model
    data: ImageData


def train_model(
    model: keras.Model,
    data: ImageData,
    config: Config,
    directory: Path | None = None,
    start: int = 0,
) -> Stage:
    """Train a model in the stages that `config.trainable` names.

    Args:
        model: takes raw pixels, 0 to 255, and returns probabilities.
        data: images and splits.
        config: how to train.
        directory: where to keep `history.csv`, `model.keras`, `best.keras` and `tensorboard/`,
            of earlier stages in a folder named after them; None keeps none.
        start: what the weights came from, as a number. Together with seed and stage it makes
            the order of images, so that training further from given weights doesn't repeat it.

    Returns:
        The last stage, whose network and data give the predictions.

    Raises:
        RunError: the loss is no longer a number.
    """
    stages = list_stages(model, data, config.trainable)
    for number, stage in enumerate(stages):
        folder = directory
        if directory is not None and stage is not stages[-1]:
            folder = directory / stage.name
            folder.mkdir()
        name = stage.name if len(stages) > 1 else ""
        fit_stage(stage, config, folder, model, (config.seed, start, number), name)
    return stages[-1]


def list_stages(model: keras.Model, data: ImageData, trainable: str) -> list[Stage]:
    """Return the stages of a training: of `all` layers, the `head`, or `head-then-all`."""
    whole = Stage("all", model, data)
    if trainable == "all":
        return [whole]
    head = Stage("head", classifier_head(model), compute_features(model, data))
    return [head] if trainable == "head" else [head, whole]


def fit_stage(
    stage: Stage,
    config: Config,
    directory: Path | None,
    whole: keras.Model,
    seed: Sequence[int],
    name: str = "",
) -> None:
    """Train the network of one stage, and keep the `whole` model after each epoch.

    Raises:
        RunError: the loss is no longer a number.
    """
    network, data = stage.network, stage.data
    steps = steps_per_epoch(data.train, config.batch_size)
    network.compile(
        optimizer=build_optimizer(config, steps),
        loss=build_loss(config),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    # Features aren't images, so only the whole model learns from varied ones.
    augment = data.augment if config.augment and network is whole else None
    progress = Progress(name)
    try:
        history = network.fit(
            training_batches(data.train, config.batch_size, seed, config.epochs, augment=augment),
            validation_data=evaluation_batches(data.val),
            epochs=config.epochs,
            steps_per_epoch=steps,  # the pipeline runs through all epochs
            shuffle=False,  # and has an order of its own
            class_weight=_class_weights(data.train) if config.class_weights else None,
            callbacks=[*_callbacks(config, directory, whole), progress],
            verbose=0,
        )
    finally:
        progress.on_train_end()  # Keras doesn't call it after an error
    loss = history.history["loss"][-1]
    if not np.isfinite(loss):
        raise RunError(
            f"the loss became {loss} in epoch {len(history.epoch)} with `lr={config.lr}`: lower "
            "the learning rate"
        )
    if config.early_stopping:  # the best epoch's weights are back
        accuracies = history.history["val_accuracy"]
        best = int(np.argmax(accuracies))
        print(
            f"kept epoch {best + 1} of {len(accuracies)}, val {100 * accuracies[best]:.1f}",
            file=sys.stderr,
        )
        if directory is not None:
            save_model(whole, directory / "model.keras")


def predict(network: keras.Model, split: Split, name: str = "") -> np.ndarray:
    """Return class probabilities (n, classes) float32 of a split, in its order."""
    if not sys.stderr.isatty():  # where no bar is drawn
        print(f"predicting {name}: {len(split):,} images", file=sys.stderr)
    batches = evaluation_batches(split)
    options = {"ncols": 79, "leave": False, "unit": "batch", "disable": None}
    progress = tqdm(batches.as_numpy_iterator(), name, len(batches), **options)
    return np.concatenate([network.predict_on_batch(images) for images, _ in progress])


def _class_weights(split: Split) -> dict[int, float]:
    classes = np.unique(split.labels)
    weights = compute_class_weight("balanced", classes=classes, y=split.labels)
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


def _callbacks(
    config: Config, directory: Path | None, whole: keras.Model
) -> list[keras.callbacks.Callback]:
    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.TerminateOnNaN()]
    if config.schedule == "step":
        callbacks.append(StepDecay(config.lr, config.step_size, config.gamma))
    if config.ema:  # before all that looks at the weights after an epoch
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if config.early_stopping:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_accuracy",
                mode="max",
                patience=config.early_stopping,
                restore_best_weights=True,
            )
        )
    if directory is not None:
        callbacks += [
            History(directory / "history.csv"),
            KeepModel(directory, whole),
            keras.callbacks.TensorBoard(directory / "tensorboard", write_graph=False),
        ]
    return callbacks
