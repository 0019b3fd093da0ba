"""The state of a training, from which it goes on as if it had never been interrupted.

Keras' own means don't suffice: `BackupAndRestore` saves neither the seeds of dropout layers nor
where in its data an epoch is, and restores whole epochs only; `get_state_tree` raises where two
variables have the same path, as in a network that is nested in a model. So variables are kept
here by their order, which is the same whenever the same network is built: all of the model (with
statistics of batch norms and seeds of layers), of the optimizer (with its moments and averages)
and of the running metrics; besides, the weights of the best epoch. Everything else follows from
the history or from the position, and all that a run keeps of a training is made from its state.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import keras
import msgspec
import numpy as np

from tfmodels.errors import RunError
from tfmodels.runs.directory import STATE
from tfmodels.safe_files import read_arrays, write_arrays

BEST = "best"  # what the keys of its weights begin with
POSITION = "position"  # key of the array that holds all but the variables, as JSON
LARGEST_POSITION = 2**26  # bytes, history included


class Epoch(TypedDict):
    """A row of history.csv."""

    epoch: int
    lr: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclasses.dataclass
class State:
    """Position and history of a training, without its variables.

    Attributes:
        stage: number of the stage, from 0.
        epoch: epochs that are finished.
        step: updates since then.
        seconds: that they took.
        lr: learning rate at the beginning of the epoch.
        first_loss: loss of the first batch, to detect divergence.
        history: of the finished epochs.
        earlier: SHA-256 of the files that earlier stages kept, by their path in the run directory.
    """

    stage: int
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    lr: float = 0.0
    first_loss: float | None = None
    history: list[Epoch] = dataclasses.field(default_factory=list)
    earlier: dict[str, str] = dataclasses.field(default_factory=dict)

    def best_epoch(self) -> int:
        """Return the index of the epoch with the best validation accuracy, of equal ones the first.

        Raises:
            ValueError: no epoch is finished.
        """
        return int(np.argmax([row["val_accuracy"] for row in self.history]))

    def is_finished(self, epochs: int, patience: int | None) -> bool:
        """Return whether the stage is at its end, perhaps because it no longer gets better."""
        if self.history and patience and self.epoch - 1 - self.best_epoch() >= patience:
            return True
        return self.epoch >= epochs


def list_variables(model: keras.Model, network: keras.Model, state: State) -> list[keras.Variable]:
    """Return the variables of a model, and those of the training of a network, a part of it.

    The running metrics are among them within an epoch only: it begins with new ones.
    """
    running = network.metrics_variables if state.step else []
    return [*model.variables, *network.optimizer.variables, *running]


def save_state(
    directory: Path,
    state: State,
    variables: Sequence[keras.Variable],
    best: Sequence[np.ndarray],
) -> None:
    """Write the state of a training to a run directory, as a whole or not at all.

    Args:
        directory: of the run.
        state: position and history.
        variables: of `list_variables`.
        best: weights of the model in the best epoch.
    """
    arrays: dict[str, Any] = {str(i): np.array(value) for i, value in enumerate(variables)}
    arrays |= {f"{BEST}{i}": value for i, value in enumerate(best)}
    arrays[POSITION] = np.array(json.dumps(dataclasses.asdict(state)))
    write_arrays(directory / STATE, arrays)


def read_state(directory: Path) -> State | None:
    """Return where the training of a run directory is, variables apart; None if there is none.

    Raises:
        RunError: the file is damaged.
    """
    path = directory / STATE
    if not path.exists():
        return None
    found = read_arrays(path, LARGEST_POSITION, [POSITION])
    if POSITION not in found:
        raise _damaged(path, "it isn't the state of a training")
    try:
        state = msgspec.json.decode(found[POSITION].item(), type=State)
        if state.epoch != len(state.history) or min(state.stage, state.step) < 0:
            raise ValueError(f"epoch {state.epoch}, step {state.step}")
        return state
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise _damaged(path, error) from error


def restore(
    directory: Path, variables: Sequence[keras.Variable], weights: Sequence[keras.Variable]
) -> list[np.ndarray]:
    """Set the variables to the values of a state, all of them or none.

    Args:
        directory: of the run.
        variables: of `list_variables`.
        weights: of the model, where an epoch is finished.

    Returns:
        The values of the weights in the best epoch.

    Raises:
        RunError: the file is damaged, or of other variables.
    """
    size = sum(np.asarray(variable).nbytes for variable in (*variables, *weights))
    arrays = read_arrays(directory / STATE, 2 * size + LARGEST_POSITION)
    values = [_value(variable, arrays.get(str(i))) for i, variable in enumerate(variables)]
    best = [_value(weight, arrays.get(f"{BEST}{i}")) for i, weight in enumerate(weights)]
    found = [value for value in (*values, *best) if value is not None]
    if not len(found) == len(values) + len(best) == len(arrays) - 1:
        raise _damaged(directory / STATE, "its variables are of another network")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return found[len(values) :]


def _value(variable: keras.Variable, array: np.ndarray | None) -> np.ndarray | None:
    """Return the array as a value of the variable; None if it doesn't fit."""
    dtype = np.asarray(variable).dtype
    if array is not None and array.dtype.kind == "V":  # how NumPy reads bfloat16
        array = array.view(dtype) if array.dtype.itemsize == dtype.itemsize else None
    fits = array is not None and (array.dtype, array.shape) == (dtype, tuple(variable.shape))
    return array if fits else None


def _damaged(path: Path, error: object) -> RunError:
    return RunError(f"{path} can't be read ({error}): start over with `overwrite=True`")
