"""What is searched: settings with their choices or ranges, written as on the command line."""

import dataclasses
import difflib
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfmodels.config import Config, flag, kind
from tfmodels.errors import UsageError
from tfmodels.models.catalog import ACTIVATIONS, MOST_POOLING, Architecture
from tfmodels.recipes import configure

if TYPE_CHECKING:
    import optuna

# What decides which images are seen, or is the same for all trials so that they compare.
FIXED = (
    *("data", "data_dir", "archive", "split_scheme", "limit", "skip_damaged", "seed"),
    *("split_seed", "recipe", "epochs", "early_stopping", "deterministic"),
)


DECIDING_EPOCHS = ("recipe", "data", "epochs")  # settings that say how many there are


@dataclasses.dataclass(frozen=True)
class Dimension:
    """A setting that is searched, or a property of the network.

    Attributes:
        name: of the setting.
        choices: its values; empty of a range.
        low: the smallest number of a range.
        high: the largest.
        log: whether the logarithm is uniform, as for learning rates.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False

    def suggest(self, trial: "optuna.Trial") -> Any:
        """Return the value that a trial of Optuna tries."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.name, self.low, self.high, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


def parse_space(texts: Sequence[str]) -> list[Dimension]:
    """Return dimensions from texts such as `lr=log:1e-4:1e-2`, `ema=0:0.999`, `model=vgg,alexnet`.

    Raises:
        UsageError: a text is none, or names no setting, one twice or one that can't be searched.
    """
    space = [_parse(text) for text in texts]
    names = [dimension.name for dimension in space]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"`space` has {name} twice: give all its values at once")
    return space


def _parse(text: str) -> Dimension:
    name, equals, values = text.partition("=")
    fields = {field.name: field for field in dataclasses.fields(Config)}
    by_flag = {flag(field).removeprefix("--"): field for field in fields}
    name = by_flag.get(name, name)
    if not equals or not values:
        raise UsageError(
            f"`space` has {text!r}: it must be NAME=LOW:HIGH, NAME=log:LOW:HIGH or NAME=VALUE,VALUE"
        )
    if name not in fields or name in FIXED:
        searchable = [field for field in fields if field not in FIXED]
        close = difflib.get_close_matches(name, searchable, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(searchable)}"
        fault = "can't be searched" if name in FIXED else "is no setting"
        raise UsageError(f"`space` has {text!r}: {name} {fault}; {hint}")
    of_kind = kind(fields[name])
    if ":" not in values:
        choices = tuple(_value(text, of_kind, part) for part in values.split(","))
        return Dimension(name, choices)
    *scale, low, high = values.split(":")
    if scale not in ([], ["log"]) or of_kind not in (int, float):
        numbers = "NAME=LOW:HIGH or NAME=log:LOW:HIGH" if scale else "NAME=VALUE,VALUE"
        raise UsageError(f"`space` has {text!r}: it must be {numbers}")
    least, most = _value(text, of_kind, low), _value(text, of_kind, high)
    if not least < most or (scale and least <= 0):
        above = "above 0 and " if scale else ""
        raise UsageError(f"`space` has {text!r}: its first number must be {above}below its second")
    return Dimension(name, (), least, most, bool(scale))


def _value(text: str, of_kind: type, value: str) -> Any:
    """Return a value as its setting has it."""
    try:
        if of_kind is bool:
            return {"yes": True, "no": False}[value]
        return of_kind(value)
    except (ValueError, KeyError):
        needed = {bool: "yes or no", int: "a whole number", float: "a number"}[of_kind]
        raise UsageError(f"`space` has {text!r}: {value!r} must be {needed}") from None


def check_values(space: Sequence[Dimension], settings: Mapping[str, Any]) -> None:
    """Check that each choice and each end of a range goes together with some of the others.

    Raises:
        UsageError: one doesn't.
    """
    ends = [dimension.choices or (dimension.low, dimension.high) for dimension in space]
    names = [dimension.name for dimension in space]
    for number, values in enumerate(ends):
        for value in values:
            fault = None
            for combined in itertools.product(*ends[:number], (value,), *ends[number + 1 :]):
                try:
                    chosen = dict(zip(names, combined, strict=True))
                    configure(**(dict(settings) | to_settings(chosen))).check_files()
                    break
                except UsageError as error:
                    fault = fault or error
            else:
                raise UsageError(f"`space` has {names[number]}={value}: {fault}")


STUDIES = {
    # From the tutorial's network (2 of 1 convolution, ReLU, no batch norm) to the study's own.
    "cifar-architecture": (
        Dimension("convolutions_per_pooling", low=1, high=3),
        Dimension("pooling", low=1, high=MOST_POOLING),
        Dimension("activation", ACTIVATIONS),
        Dimension("dropout", (0.0, 0.1, 0.25, 0.5)),
        Dimension("batch_norm", (False, True)),
    )
}


def to_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a trial's values mean: properties of a CNN become its name."""
    settings = dict(values)
    if "pooling" in settings:
        pooling = settings.pop("pooling")
        settings["model"] = Architecture(
            convolutions=pooling * settings.pop("convolutions_per_pooling"),
            pooling=pooling,
            activation=settings.pop("activation"),
            dropout=settings.pop("dropout"),
            batch_norm=settings.pop("batch_norm"),
        ).name
    return settings
