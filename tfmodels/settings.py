"""What can be set for an experiment: the one source of flags, config.json and defaults.

No TensorFlow here, so that `--help` and wrong arguments answer at once.
"""

import dataclasses
import math
from typing import Any

from tfmodels.errors import UsageError

DATA_SETS = ("cifar10", "sample")


def _setting(default: Any, kind: type, help: str, choices: tuple[str, ...] | None = None) -> Any:
    metadata = {"kind": kind, "help": help, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class CifarSettings:
    """Settings of one CIFAR-10 run; the defaults are the study's best row of Table 1.

    Raises:
        UsageError: a value is out of range; the message names flag, value and range.
    """

    lr: float = _setting(0.001, float, "learning rate of Adam in the first epoch")
    epochs: int = _setting(10, int, "passes over the training split")
    batch_size: int = _setting(64, int, "training examples per update")
    step_size: int = _setting(5, int, "epochs between two steps of the learning rate")
    gamma: float = _setting(0.1, float, "factor on the learning rate at each step, at most 1")
    step_decay: bool = _setting(True, bool, "keep the learning rate constant")
    seed: int = _setting(0, int, "seed of split, weights, order, dropout and augmentation")
    data: str = _setting("cifar10", str, "pictures to learn from", DATA_SETS)
    data_dir: str | None = _setting(
        None, str, "folder of prepared TFDS data sets (default: TFDS_DATA_DIR, or TFDS' own)"
    )
    limit: int | None = _setting(
        None, int, "use the first N training examples only, for trying out"
    )
    augment: bool = _setting(False, bool, "random crops (4 pixels of reflection padding) and flips")
    deterministic: bool = _setting(
        False, bool, "have TensorFlow refuse operations that vary from run to run (slower)"
    )

    def __post_init__(self) -> None:
        for name in ("lr", "gamma"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and math.isfinite(value)
            self._require(name, number and value > 0, "a number above 0")
        self._require("gamma", self.gamma <= 1, "at most 1")
        for name in ("epochs", "batch_size", "step_size"):
            self._require(name, _is_whole(getattr(self, name), 1), "a whole number from 1 up")
        limit_ok = self.limit is None or _is_whole(self.limit, 1)
        self._require("limit", limit_ok, "a whole number from 1 up")
        seed_ok = _is_whole(self.seed, 0) and self.seed < 2**32
        self._require("seed", seed_ok, "a whole number from 0 to 4294967295")
        self._require("data", self.data in DATA_SETS, f"one of {', '.join(DATA_SETS)}")

    def _require(self, name: str, true: bool, wanted: str) -> None:
        if not true:
            raise UsageError(f"{flag(name)} is {getattr(self, name)!r}: it must be {wanted}")

    def run_name(self) -> str:
        """The default name of the run directory: the settings that make its result."""
        parts = [self.data, f"lr{self.lr}", f"epochs{self.epochs}", f"seed{self.seed}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("data", "lr", "epochs", "seed", "data_dir") or value == field.default:
                continue
            word = field.name.replace("_", "-")
            if field.metadata["kind"] is bool:
                parts.append(word if value else f"no-{word}")
            else:
                parts.append(f"{word}{value}")
        return "_".join(parts)


def flag(name: str) -> str:
    """The command-line flag of a setting: `batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
