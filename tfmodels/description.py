"""What a run is of: its settings, data, network, versions and machine, for config.json."""

import dataclasses
import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import keras

from tfmodels.config import Config
from tfmodels.data.images import ImageData, load_data
from tfmodels.errors import RunError
from tfmodels.models.flop import forward_flop, training_flop
from tfmodels.models.parts import structure_checksum, weights_checksum
from tfmodels.report.tables import data_title, scientific, wrap
from tfmodels.runs import environment
from tfmodels.runs.contents import Run
from tfmodels.safe_files import checksum


def describe(config: Config, data: ImageData, model: keras.Model) -> dict[str, Any]:
    """Return what config.json tells of a run before it begins."""
    backend = keras.backend.backend()
    return {
        "settings": dataclasses.asdict(config),
        "seed": config.seed,
        "command": sys.argv or ["python"],
        "git_commit": environment.git_commit(),
        "dataset": {
            "name": data.name,
            "version": data.version,
            "class_names": data.class_names,
            "image_shape": data.image_shape,
            "checksum": data.checksum,
            "split_checksum": _split_checksum(data),
            "split": data.split_description,
            "splits": {part: len(getattr(data, part)) for part in ("train", "val", "test")},
        },
        "model": {
            "name": plain_name(model),
            "parameters": model.count_params(),
            "structure": structure_checksum(model),
            "flop": forward_flop(model),
        },
        "backend": backend,
        "versions": environment.versions(*{backend} - {"tensorflow"}),
        "hardware": environment.hardware() | {"devices": keras.distribution.list_devices()},
    }


def announce(description: dict[str, Any], model: keras.Model, data: ImageData, path: Path) -> None:
    """Print what is trained on what, where, at what cost, and into which run directory."""
    settings, hardware = description["settings"], description["hardware"]
    counts = description["dataset"]["splits"]
    images = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    weights = settings["weights"]  # None of a model of one's own
    trainable = settings["trainable"]
    epochs = [settings["epochs"]] * (2 if trainable == "head-then-all" else 1)
    flop = training_flop(model, trainable, len(data.train), epochs)
    start = "from scratch" if weights == "none" else f"from {weights or 'its own weights'}"
    lines = {
        "data": f"{data_title(description['dataset'])}, {len(data.class_names)} classes; "
        f"images: {images}",
        "split": data.split_description,
        "network": f"{settings['model']}, "
        f"{description['model']['parameters']:,} parameters, {start}",
        "compute": f"{scientific(description['model']['flop'])} FLOP an image, "
        f"{scientific(flop)} to train"
        if flop
        else "unknown, as the network has layers of its own, or takes images of any size",
        "device": f"{', '.join(hardware['devices'])}, cores: {hardware['cores']}; "
        f"{settings['precision']}, Keras on {description['backend']}",
    }
    for name, value in [*lines.items(), *(("note", note) for note in data.notes)]:
        print(wrap(f"{name + ':':<9}{value}", indent=9), file=sys.stderr)
    print(f"{'run:':<9}{path}", file=sys.stderr)


def plain_name(model: keras.Model) -> str:
    """Return a model's name, without the number that Keras adds where it makes up the name."""
    return re.sub(r"^(sequential|functional)_\d+$", r"\1", model.name)


def data_of(run: Run) -> ImageData:
    """Load the data that a run was trained on.

    Raises:
        RunError: they can't be loaded, or aren't the same any more.
    """
    settings: dict[str, Any] = dict(run.config["settings"])
    try:
        config = Config(**settings)
    except TypeError as error:
        raise RunError(f"{run.path} is of another version: train again ({error})") from error
    data = load_data(config)
    if _split_checksum(data) != run.config["dataset"]["split_checksum"]:
        raise RunError(f"{config.data} holds other images than {run.path} was trained on")
    return data


def _split_checksum(data: ImageData) -> str:
    """Return the SHA-256 of ids and labels of each split, so that others are noticed."""
    digest = hashlib.sha256()
    for split in (data.train, data.val, data.test):
        digest.update("\n".join([*split.ids, ""]).encode())
        digest.update(split.labels.tobytes())
    return digest.hexdigest()


def initial_weights(config: Config, model: keras.Model | None = None) -> str:
    """Return what the weights come from: none, imagenet, or the SHA-256 of a file or a model."""
    if model is not None:
        return weights_checksum(model)
    return (
        config.weights if config.weights in ("none", "imagenet") else checksum(Path(config.weights))
    )


def start_number(initial_weights: str) -> int:
    """Return what weights come from as a number: 0, or one from their SHA-256."""
    return 0 if initial_weights in ("none", "imagenet") else int(initial_weights[:8], 16)
