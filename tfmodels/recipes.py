"""Recipes: named sets of settings. `--recipe NAME` chooses one, and flags override it.

A recipe is a function that returns what differs from the defaults of `Config`, for the network
that is asked for; its docstring says what it reaches, over how many seeds, in what time, on what.
Runs are named after their recipe.
"""

import dataclasses
import difflib
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfmodels.config import Config, flag
from tfmodels.data.catalog import data_name, dataset_spec
from tfmodels.errors import UsageError
from tfmodels.models.catalog import network_spec

Settings = Mapping[str, Any]  # those that are asked for, for a recipe that goes by them

LONGEST_NAME = 59  # of a run directory, so that tables and paths stay readable


def study(asked: Settings) -> dict[str, Any]:
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


def instant(asked: Settings) -> dict[str, Any]:
    """Three epochs of a small network: Muon at 0.2, falling to 0, in batches of 500.

    Reaches 79.96 % mean class accuracy on CIFAR-10's test split (n = 10 seeds, standard deviation
    0.62) for 1.54e12 training FLOP, in 18 seconds on two cores; 41 from command to report.
    """
    return _SHARED | {"model": "airbench-small", "epochs": 3, "batch_size": 500, "lr": 0.2}


def fast(asked: Settings) -> dict[str, Any]:
    """Seven epochs of a network whose feature maps have twice the side, at 0.14 in batches of 350.

    Reaches 86.51 % mean class accuracy on CIFAR-10's test split (n = 5 seeds, standard deviation
    0.22) for 7.57e12 training FLOP, in 77 seconds on two cores.
    """
    return _SHARED | {"model": "airbench-medium", "epochs": 7, "batch_size": 350, "lr": 0.14}


def budget(asked: Settings) -> dict[str, Any]:
    """12 epochs of a wide network, at 0.1 in batches of 350.

    With `--split final` it reaches 91.12 % mean class accuracy on CIFAR-10's test split (n = 5
    seeds, standard deviation 0.07) for 7.13e13 training FLOP, in 20 minutes on one core.
    """
    return _SHARED | {"model": "airbench-large", "epochs": 12, "batch_size": 350, "lr": 0.1}


def best(asked: Settings) -> dict[str, Any]:
    """13 epochs of a network of dense convolutions, at 0.12 in batches of 500.

    With `--split final` it reaches 93.22 % mean class accuracy on CIFAR-10's test split (n = 3
    seeds, standard deviation 0.21) for 2.43e14 training FLOP, in 21 minutes on one core with AMX.
    Before, 15 epochs with `--split standard` reached 93.19 (n = 3, 0.03) for 2.55e14.
    """
    return _SHARED | {
        "model": "airbench-dense",
        "epochs": 13,
        "batch_size": 500,
        "lr": 0.12,
        "label_smoothing": 0.1,
    }


def tuned(asked: Settings) -> dict[str, Any]:
    """For images from above: a cosine after an epoch of warm-up, label smoothing, turned views.

    From ImageNet weights it reaches 98.81 % mean class accuracy with `mobilenetv2` on the test
    images of EuroSAT's random split (n = 3 seeds, standard deviation 0.31), in 28 minutes on one
    core, and 97.62 % with `alexnet` (n = 3, 0.26), in 29. AlexNet has batches of 128 in bfloat16,
    in which it trains 2.7 times as fast as in batches of 64 in float32 (two cores with AMX), and
    other rates; others stay in float32, as MobileNetV2 trains half as fast in bfloat16. From
    scratch all have Muon: `airbench-large` reaches 97.62 % (n = 3, 0.50), at 64 pixels,
    `mobilenetv2` 96.41 % (n = 3, 0.56), at 64 pixels, and `alexnet` 96.27 % (n = 3, 0.36), in 12 to
    28 minutes on one core.
    """
    network = asked.get("model") or dataset_spec(asked.get("data", Config.data)).network
    from_scratch = asked.get("weights", "none") == "none"
    settings = {
        "augment": True,
        "label_smoothing": 0.1,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "views": "turns",
    }
    muon = {"optimizer": "muon", "lr": 0.02}
    if network in ("alexnet", "alexnet-bvlc"):
        settings["precision"] = "mixed_bfloat16"
        settings |= {"batch_size": 64} | muon if from_scratch else {"batch_size": 128, "lr": 3e-4}
    elif network == "mobilenetv2" and from_scratch:
        settings |= {"batch_size": 32, "image_size": 64} | muon
    elif network.startswith("airbench-"):
        settings |= {"batch_size": 250, "image_size": 64, "optimizer": "muon", "lr": 0.1}
        settings |= {"schedule": "linear", "warmup_epochs": 0}
    return settings


RECIPES: dict[str, Callable[[Settings], dict[str, Any]]] = {
    "study": study,
    "instant": instant,
    "fast": fast,
    "budget": budget,
    "best": best,
    "tuned": tuned,
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
    return Config(**(RECIPES[recipe](settings) | settings), recipe=recipe)


# What a run's name says elsewhere, or not at all because it doesn't change the result.
_NOT_IN_OPTIONS = (
    *("data", "data_dir", "archive", "model", "weights", "trainable", "image_size"),
    *("split_scheme", "seed", "recipe"),
)


def run_name(config: Config, data: str = "", model: str = "") -> str:
    """Return the default name of the run directory: recipe, and what differs from it.

    Args:
        config: of the run.
        data: name of data that aren't the config's own.
        model: name of a network that isn't the config's own.
    """
    spec = dataset_spec(config.data)
    settings = dataclasses.asdict(config)
    base = Config(data=config.data, **RECIPES.get(config.recipe, study)(settings))
    parts = [data or data_name(config.data)]
    if config.recipe != base.recipe:
        parts.append(config.recipe)
    if model or config.recipe == base.recipe or config.model != base.model:
        parts.append(model or config.model)
    if config.weights != "none":
        parts.append(Path(config.weights).name)
    if config.trainable != "all":
        parts.append(config.trainable)
    if config.image_size != network_spec(config.model).image_size:
        parts.append(f"{config.image_size}px")
    if config.split_scheme != spec.split_schemes[0]:
        lists = Path(config.split_scheme).resolve().name
        parts.append(config.split_scheme if config.split_is_named() else f"lists-{lists}")
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in _NOT_IN_OPTIONS or value == getattr(base, field.name):
            continue
        option = field.name.replace("_", "-")
        named = {True: option, False: f"no-{option}"} if isinstance(value, bool) else {}
        parts.append(named.get(value, f"{option}{value}"))
    name = re.sub(r"[^\w.+-]+", "-", "_".join(parts))
    return _short(name, f"_seed{config.seed}")


def _short(name: str, ending: str) -> str:
    if len(name + ending) <= LONGEST_NAME:
        return name + ending
    ending = f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}{ending}"
    return name[: LONGEST_NAME - len(ending)] + ending
