"""What happens around each epoch: learning rate, history, kept models, a line of progress."""

import csv
import sys
import time
from pathlib import Path
from typing import Any

import keras

HISTORY_COLUMNS = ("epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")


def step_decay(epoch: int, lr: float, step_size: int, gamma: float) -> float:
    """Return the learning rate of an epoch (from 0): lr * gamma^(epoch // step_size).

    The same as PyTorch's StepLR.
    """
    return float(lr * gamma ** (epoch // step_size))


class StepDecay(keras.callbacks.LearningRateScheduler):
    """Set the learning rate of each epoch by `step_decay`, whatever it was before."""

    def __init__(self, lr: float, step_size: int, gamma: float) -> None:
        super().__init__(lambda epoch: step_decay(epoch, lr, step_size, gamma))


class History(keras.callbacks.Callback):
    """Write one row per finished epoch, with the columns `HISTORY_COLUMNS`, to a CSV file.

    Keras' CSVLogger can set neither the columns' order nor their names.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock and note the learning rate, which some schedules change every step."""
        self.started = time.monotonic()
        self.lr = _learning_rate(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's row."""
        row = {
            **(logs or {}),
            "epoch": epoch + 1,
            "lr": f"{self.lr:.7g}",
            "seconds": round(time.monotonic() - self.started, 2),
        }
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

    def __init__(self, directory: Path, whole: keras.Model) -> None:
        """Keep `whole`, of which the trained network may be a part."""
        super().__init__()
        self.directory, self.whole = directory, whole
        self.best = -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the network, whole or not at all."""
        accuracy = (logs or {})["val_accuracy"]
        save_model(self.whole, self.directory / "model.keras")
        if accuracy > self.best:
            self.best = accuracy
            save_model(self.whole, self.directory / "best.keras")


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model so that the file is there as a whole or not at all."""
    part = path.with_name("part.keras")
    try:
        model.save(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class Progress(keras.callbacks.Callback):
    """Write one line per epoch, within 80 columns; on a terminal it counts the steps before.

    `epoch 3/10  loss 0.351  acc 91.7  val 92.8  lr 1e-3  00:14 left`
    """

    def __init__(self, stage: str = "") -> None:
        """Name the stage of training in front of each line, where there are several."""
        super().__init__()
        self.stage = f"{stage} " if stage else ""
        self.live = sys.stderr.isatty()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self.started = self.shown = time.monotonic()
        self.done = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch and its learning rate."""
        self.epoch, self.lr = epoch, _learning_rate(self.model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Rewrite the line on a terminal, four times a second at most."""
        self.done += 1
        if self.live and time.monotonic() - self.shown > 0.25:
            self.shown = time.monotonic()
            step = f"step {batch + 1}/{self.params['steps']}  loss {(logs or {})['loss']:.3f}"
            sys.stderr.write(f"\r{self._line(step):<79}")
            sys.stderr.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's line."""
        logs = logs or {}
        text = self._line(
            f"loss {logs['loss']:.3f}  acc {100 * logs['accuracy']:.1f}  "
            f"val {100 * logs['val_accuracy']:.1f}  lr {format_rate(self.lr)}"
        )
        sys.stderr.write(f"\r{text:<79}\n" if self.live else f"{text}\n")
        sys.stderr.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the terminal at the beginning of a line."""
        if self.live:
            sys.stderr.write(f"\r{'':<79}\r")

    def _line(self, text: str) -> str:
        epochs = self.params["epochs"]
        total = epochs * self.params["steps"]
        seconds = (time.monotonic() - self.started) / max(self.done, 1) * (total - self.done)
        left = f"{clock(seconds)} left"
        return f"{self.stage}epoch {self.epoch + 1}/{epochs}  {text}  {left}"


def clock(seconds: float) -> str:
    """Return a duration as mm:ss, or h:mm:ss from an hour up."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def format_rate(number: float) -> str:
    """Return a learning rate in at most seven characters, such as 1e-3 or 2.5e-4."""
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _learning_rate(model: keras.Model) -> float:
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
