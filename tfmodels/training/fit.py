"""How a network is trained: Adam, step-decayed learning rate, and what is kept on the way."""

import csv
import os
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm.keras import TqdmCallback

from tfmodels.data.images import ImageData, Split
from tfmodels.data.pipeline import evaluation_batches, training_batches
from tfmodels.errors import RunError
from tfmodels.config import CifarSettings, Settings

HISTORY_COLUMNS = ("epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")


def step_decay(epoch: int, lr: float, step_size: int, gamma: float) -> float:
    """Learning rate of an epoch (from 0): lr * gamma^(epoch // step_size), PyTorch's StepLR."""
    return lr * gamma ** (epoch // step_size)


class StepDecay(keras.callbacks.LearningRateScheduler):
    """Set the learning rate of each epoch by `step_decay`, whatever it was before."""

    def __init__(self, lr: float, step_size: int, gamma: float):
        super().__init__(lambda epoch: step_decay(epoch, lr, step_size, gamma))


class History(keras.callbacks.Callback):
    """Write one row per finished epoch, with the columns `HISTORY_COLUMNS`, to a CSV file.

    Keras' CSVLogger can set neither the columns' order nor their names.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Write the epoch's row."""
        lr = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        seconds = round(time.monotonic() - self.started, 2)
        row = {**(logs or {}), "epoch": epoch + 1, "lr": f"{lr:.7g}", "seconds": seconds}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, HISTORY_COLUMNS, extrasaction="ignore")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)


class KeepModel(keras.callbacks.Callback):
    """Keep `model.keras`, the last epoch's, and `best.keras`, the best validation accuracy's.

    Keras' ModelCheckpoint writes in place: stopped at the wrong moment it leaves half a
    file where a whole one was. Weights alone (`.weights.h5`) are no way out: on a full disk
    HDF5 (h5py 3.14) ends the process by a segmentation fault.
    """

    def __init__(self, directory: Path, whole: keras.Model | None = None):
        """Keep `whole`, of which the trained model is a part; by default the trained model."""
        super().__init__()
        self.directory, self.whole = directory, whole
        self.best = -1.0

    def on_epoch_end(self, epoch, logs=None):
        """Keep the network, whole or not at all."""
        kept = ["model"]
        if logs["val_accuracy"] > self.best:
            self.best = logs["val_accuracy"]
            kept.append("best")
        for name in kept:
            part = self.directory / "part.keras"
            try:
                (self.whole or self.model).save(part)
                part.replace(self.directory / f"{name}.keras")
            finally:
                part.unlink(missing_ok=True)


def train(
    model: keras.Model,
    data: ImageData,
    settings: Settings | None = None,
    directory: str | os.PathLike | None = None,
) -> keras.callbacks.History:
    """Train a model on the training split, watching the validation split.

    Args:
        model: takes raw pixels, gives probabilities.
        data: the splits.
        settings: how to train; by default the study's best row.
        directory: where to keep `history.csv`, `model.keras`, `best.keras` and
            `tensorboard/`; None keeps none.

    Returns:
        Keras' history of losses and accuracies per epoch.

    Raises:
        RunError: the loss is no longer a number.
    """
    settings = settings or CifarSettings()
    augment = data.augment if settings.augment else None
    return fit(
        model,
        training_batches(data.train, settings.batch_size, settings.seed, augment),
        evaluation_batches(data.val),
        settings,
        directory,
    )


def fit(
    model: keras.Model,
    training: tf.data.Dataset,
    validation: tf.data.Dataset,
    settings: Settings,
    directory: str | os.PathLike | None = None,
    whole: keras.Model | None = None,
) -> keras.callbacks.History:
    """As `train`, on batches; of a model that is a part, the `whole` is kept."""
    model.compile(
        optimizer=keras.optimizers.Adam(settings.lr, epsilon=1e-8),  # PyTorch's epsilon
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # In a terminal a bar per epoch as well; in a log file the bar over all epochs is enough.
    progress = TqdmCallback(epochs=settings.epochs, verbose=int(sys.stderr.isatty()))
    try:
        history = model.fit(
            training,
            validation_data=validation,
            epochs=settings.epochs,
            callbacks=[*_callbacks(settings, directory, whole), progress],
            shuffle=False,  # the pipeline does it
            verbose=0,
        )
    finally:
        progress.on_train_end()  # an open bar would draw over the message of an error
    loss = history.history["loss"][-1]
    if not np.isfinite(loss):
        raise RunError(
            f"the loss became {loss} in epoch {len(history.epoch)} at --lr {settings.lr}: "
            "lower the learning rate"
        )
    return history


def predict(model: keras.Model, split: Split) -> np.ndarray:
    """Class probabilities (n, classes) float32 of a split's pictures, in its order."""
    return model.predict(evaluation_batches(split), verbose=0)


def _callbacks(
    settings: Settings, directory: str | os.PathLike | None, whole: keras.Model | None
) -> list[keras.callbacks.Callback]:
    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.TerminateOnNaN()]
    if settings.step_decay:
        callbacks.append(StepDecay(settings.lr, settings.step_size, settings.gamma))
    if directory is not None:
        callbacks += [
            History(Path(directory) / "history.csv"),
            KeepModel(Path(directory), whole),
            keras.callbacks.TensorBoard(Path(directory) / "tensorboard", write_graph=False),
        ]
    return callbacks
