"""What happens around steps and epochs: learning rate, checks, what is kept, a line of progress."""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np

from tfmodels.config import Config
from tfmodels.errors import DivergenceError
from tfmodels.models.parts import without_optimizer
from tfmodels.report.tables import csv_table
from tfmodels.runs.lock import check_held
from tfmodels.safe_files import new_file, write_text
from tfmodels.training.interruption import StopRequest
from tfmodels.training.state import State, list_variables, read_state, restore, save_state

EXPLOSION = 1e6  # times the loss of the first batch
LONGEST_UNSAVED = 300.0  # seconds
# A saving that takes longer waits for 50 times as long, so that it is 2 % of the time at most.
LONG_SAVING = 1.0  # seconds
KEPT = ("history.csv", "model.keras", "best.keras")  # of each stage
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


class TensorBoardLogs(keras.callbacks.TensorBoard):
    """TensorBoard's logs, on the disk after each epoch: Keras leaves them in memory for long."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's points."""
        super().on_epoch_end(epoch, logs)
        for writer in (self._train_writer, self._val_writer):
            writer.flush()


class LossCheck(keras.callbacks.Callback):
    """Stop at the step at which the loss is no number any more, or has exploded.

    Raises:
        DivergenceError: it has; the message names epoch, step and learning rate.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin a new mean."""
        self.mean_before: float | None = None if self.state.step else 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Find the loss of this step from the mean of the epoch, and check it."""
        mean, steps = (logs or {})["loss"], self.state.step + 1
        loss = mean  # right after a restart the mean before isn't known
        if self.mean_before is not None:
            loss = steps * mean - (steps - 1) * self.mean_before
        self.mean_before = mean
        if self.state.first_loss is None:
            self.state.first_loss = mean
        if not loss < EXPLOSION * max(self.state.first_loss, 1.0):  # also if it is no number
            self._stop(loss, f"step {steps}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the loss of the validation images."""
        if not math.isfinite((logs or {})["val_loss"]):
            self._stop((logs or {})["val_loss"], "validation")

    def _stop(self, loss: float, where: str) -> NoReturn:
        lr = format_rate(_learning_rate(self.model))
        raise DivergenceError(
            f"the loss became {loss:.3g} in epoch {self.state.epoch + 1}, {where}, with learning "
            f"rate {lr}: lower `lr`"
        )


class Resume(keras.callbacks.Callback):
    """Set all variables to a saved state, before other callbacks look at them.

    Keras resets metrics between `on_train_begin` and the first `on_epoch_begin`.
    """

    def __init__(self, epoch: int, restore: Callable[[], None]) -> None:
        """Call `restore` when the epoch begins, from 0."""
        super().__init__()
        self.epoch, self.restore = epoch, restore

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restore the variables in the first epoch."""
        if epoch == self.epoch:
            self.restore()


class Checkpoint(keras.callbacks.Callback):
    """Keep all that a training needs to go on from where it is, and in the end its network.

    After each epoch it writes `history.csv` and the state, less often where that takes long; within
    long epochs, and when the user wants to stop, the state alone. At the end it makes from the
    state, whatever became of other files, `history.csv`, and in `model.keras` and `best.keras` the
    networks of the last epoch and of the best validation accuracy: to write them in each epoch
    would double the cost.
    """

    def __init__(
        self,
        model: keras.Model,
        network: keras.Model,
        state: State,
        directory: Path,
        folder: Path,
        request: StopRequest,
        config: Config,
    ) -> None:
        """Keep a training.

        Args:
            model: to keep.
            network: that is trained, the model or a part of it.
            state: of the training; updated here.
            directory: of the run, for the state.
            folder: for the other files.
            request: whether the user wants to stop.
            config: of the training; where weights are averaged, the average is validated and kept.
        """
        super().__init__()
        self.whole, self.network, self.kept = model, network, without_optimizer(model)
        self.state, self.request, self.config = state, request, config
        self.directory, self.folder = directory, folder
        self.cost = 0.0  # seconds that the last saving took
        self.stopping = False
        self.best: list[np.ndarray] = []
        # Its hooks are the public way to swap weights and averages. It may not do so by itself: in
        # the last epoch it loses the weights from which a training could go on.
        self.average = (
            keras.callbacks.SwapEMAWeights() if config.ema else keras.callbacks.Callback()
        )
        self.average.set_model(network)

    def restore(self) -> None:
        """Set all variables to the saved state."""
        variables = list_variables(self.whole, self.network, self.state)
        weights = self.kept.weights if self.state.epoch else []
        self.best = restore(self.directory, variables, weights)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock of what isn't saved."""
        self.saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, and note the learning rate, which some schedules change every step.

        If the user wanted to stop in the epoch before, stop here: its line was written meanwhile.
        """
        if self.stopping:
            self.request.stop(f"after epoch {self.state.epoch}")
        if not self.state.step:
            self.state.lr = float(f"{_learning_rate(self.model):.7g}")
        self.started = time.monotonic() - self.state.seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the state if it wasn't for long, or if the user wants to stop.

        After the last step that is done at the end of the epoch.
        """
        self.state.step += 1
        overdue = self.request.signal or time.monotonic() - self.saved > LONGEST_UNSAVED
        if overdue and batch + 1 < self.params["steps"]:
            self.state.seconds = time.monotonic() - self.started
            self._save()
            self.request.stop(f"in epoch {self.state.epoch + 1}, after step {self.state.step}")

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Validate the averaged weights."""
        self.average.on_test_begin()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Go on with the weights as they were trained."""
        self.average.on_test_end()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the history and the state, and end the training where it no longer gets better."""
        logs, state = logs or {}, self.state
        seconds = round(time.monotonic() - self.started, 2)
        metrics: Any = {name: float(logs[name]) for name in HISTORY_COLUMNS if name in logs}
        row: Any = {"epoch": epoch + 1, "lr": state.lr, **metrics, "seconds": seconds}
        state.history.append(row)
        state.epoch, state.step, state.seconds = epoch + 1, 0, 0.0
        if state.best_epoch() == state.epoch - 1:
            self.on_test_begin()
            self.best = self.kept.get_weights()
            self.on_test_end()
        finished = state.is_finished(self.config.epochs, self.config.early_stopping)
        self.model.stop_training = finished
        last = finished or self.params["epochs"] == state.epoch  # of this call of fit
        due = self.cost < LONG_SAVING or time.monotonic() - self.saved > 50 * self.cost
        saved = last or due or self.request.signal is not None
        if saved:
            self._save()
        self._keep_history()
        self.stopping = saved and self.request.signal is not None

    def finish(self, best_only: bool) -> None:
        """Set the weights of the saved state, or of the best epoch, and keep the networks."""
        self.state = read_state(self.directory) or self.state
        self.restore()
        self.network.optimizer.finalize_variable_values(self.network.trainable_variables)
        last = self.best if best_only else self.kept.get_weights()
        self._keep_history()
        for name, weights in (("best.keras", self.best), ("model.keras", last)):
            self.kept.set_weights(weights)
            with new_file(self.folder / name) as part:
                self.kept.save(part)

    def _save(self) -> None:
        check_held(self.directory)
        network = self.model  # JAX has variables up to date where this is read
        variables = list_variables(self.whole, network, self.state)
        started = time.monotonic()
        save_state(self.directory, self.state, variables, self.best)
        self.saved = time.monotonic()
        self.cost = self.saved - started

    def _keep_history(self) -> None:
        rows = [list(row.values()) for row in self.state.history]
        write_text(self.folder / "history.csv", csv_table(HISTORY_COLUMNS, rows))


class Progress(keras.callbacks.Callback):
    """Write one line per epoch, within 80 columns; on a terminal it counts the steps before.

    `epoch 3/10  loss 0.351  acc 91.7  val 92.8  lr 1e-3  00:14 left`
    """

    def __init__(self, stage: str, state: State, epochs: int, steps: int) -> None:
        """Show the progress of a stage of training.

        Args:
            stage: its name in front of each line, where there are several.
            state: where it is.
            epochs: of the whole stage.
            steps: of an epoch.
        """
        super().__init__()
        self.stage = f"{stage} " if stage else ""
        self.state, self.epochs, self.steps = state, epochs, steps
        self.live = sys.stderr.isatty()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self.started = self.shown = time.monotonic()
        self.done = 0
        self.todo = self.steps * (self.epochs - self.state.epoch) - self.state.step

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch and its learning rate."""
        self.epoch, self.lr = epoch, _learning_rate(self.model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Rewrite the line on a terminal, four times a second at most."""
        self.done += 1
        if self.live and time.monotonic() - self.shown > 0.25:
            self.shown = time.monotonic()
            step = f"step {self.state.step}/{self.steps}  loss {(logs or {})['loss']:.3f}"
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
        seconds = (time.monotonic() - self.started) / max(self.done, 1) * (self.todo - self.done)
        left = f"{clock(seconds)} left"
        return f"{self.stage}epoch {self.epoch + 1}/{self.epochs}  {text}  {left}"


def clock(seconds: float) -> str:
    """Return a duration as mm:ss, or h:mm:ss from an hour up."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def format_rate(number: float) -> str:
    """Return a learning rate in at most seven characters, such as 0.183 or 2.5e-4."""
    if 0.001 <= number < 1000:
        return f"{number:.3g}"
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _learning_rate(model: keras.Model) -> float:
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
