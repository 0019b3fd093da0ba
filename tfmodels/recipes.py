"""Recipes: named sets of settings. `--recipe NAME` chooses one, and flags override it.

A recipe is a function that returns what differs from the defaults of `Config`; its docstring
says what it reaches, over how many seeds, in what time, on what.
"""

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any

from tfmodels.config import Config, flag
from tfmodels.errors import UsageError


def study() -> dict[str, Any]:
    """Adam at 0.001 for ten epochs in batches of 64, a tenth of the rate after five.

    Reaches 82.50 % mean class accuracy with `vgg` on CIFAR-10's test split (n = 3 seeds,
    standard deviation 0.23) for 6.89e13 training FLOP, in 6 to 10 minutes on two cores; the study
    79.95 %.
    """
    return {}


# What the recipes after airbench94_muon (see `models.airbench`) have in common.
_SHARED: dict[str, Any] = {
    "augment": True,
    "label_smoothing": 0.2,
    "optimizer": "muon",
    "precision": "mixed_bfloat16",
    "schedule": "linear",
    "views": "shifts",
}


def instant() -> dict[str, Any]:
    """Three epochs of a small network: Muon at 0.2, falling to 0, in batches of 500.

    Reaches 79.96 % mean class accuracy on CIFAR-10's test split (n = 10 seeds, standard deviation
    0.62) for 1.54e12 training FLOP, in 18 seconds on two cores; 41 from command to report.
    """
    return _SHARED | {"model": "airbench-small", "epochs": 3, "batch_size": 500, "lr": 0.2}


def fast() -> dict[str, Any]:
    """Seven epochs of a network whose feature maps have twice the side, at 0.14 in batches of 350.

    Reaches 86.51 % mean class accuracy on CIFAR-10's test split (n = 5 seeds, standard deviation
    0.22) for 7.57e12 training FLOP, in 77 seconds on two cores.
    """
    return _SHARED | {"model": "airbench-medium", "epochs": 7, "batch_size": 350, "lr": 0.14}


def budget() -> dict[str, Any]:
    """12 epochs of a wide network, at 0.1 in batches of 350.

    With 14 epochs it reached 91.67 % mean class accuracy on CIFAR-10's validation images (n = 4
    seeds, standard deviation 0.37). Its 12 with `--split final`, 7.13e13 training FLOP, are being
    judged.
    """
    return _SHARED | {"model": "airbench-large", "epochs": 12, "batch_size": 350, "lr": 0.1}


def best() -> dict[str, Any]:
    """13 epochs of a network of dense convolutions, at 0.12 in batches of 500.

    With 15 epochs it reached 93.19 % mean class accuracy on CIFAR-10's test split (n = 3 seeds,
    standard deviation 0.03). Its 13 with `--split final`, 2.43e14 training FLOP, are being judged.
    """
    return _SHARED | {
        "model": "airbench-dense",
        "epochs": 13,
        "batch_size": 500,
        "lr": 0.12,
        "label_smoothing": 0.1,
    }


RECIPES: dict[str, Callable[[], dict[str, Any]]] = {
    "study": study,
    "instant": instant,
    "fast": fast,
    "budget": budget,
    "best": best,
}


def configure(recipe: str = "study", **settings: Any) -> Config:
    """Return the config of a recipe, with some settings of one's own: see `Config` for all.

    Raises:
        UsageError: there is no recipe of that name, or a setting is wrong.
    """
    names = [field.name for field in dataclasses.fields(Config)]
    for name in settings:
        if name not in names:
            of_flag = [field for field in names if flag(field) == "--" + name]
            close = of_flag or difflib.get_close_matches(name, names, 1)
            hint = f"did you mean `{close[0]}`?" if close else "help(tfmodels.Config) has all"
            raise UsageError(f"there is no setting {name!r}: {hint}")
    if recipe not in RECIPES:
        raise UsageError(f"`recipe` is {recipe!r}: it must be one of {', '.join(RECIPES)}")
    return Config(**(RECIPES[recipe]() | settings), recipe=recipe)
