"""What can be set for a training run: the one source of flags, defaults and config.json.

No TensorFlow here, so that `--help` and wrong arguments answer at once.
"""

import dataclasses
import math
import os
import types
import typing
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tfmodels.data.catalog import DATASETS, VIEWS, dataset_spec
from tfmodels.errors import RunError, UsageError
from tfmodels.models.catalog import NETWORKS, network_spec
from tfmodels.safe_files import open_file

KERAS_FILES = (".weights.h5", ".keras")  # files of weights that every network reads
LARGEST_NUMBER = 1e38
_LARGEST = {  # of whole numbers
    "epochs": 10**6,
    "batch_size": 65_536,
    "step_size": 10**6,
    "limit": 10**9,
    "early_stopping": 10**6,
    "seed": 2**32 - 1,
    "split_seed": 2**32 - 1,
}


def _setting(default: Any, help: str, choices: Collection[str] = (), flag: str = "") -> Any:
    metadata = {"help": help, "choices": choices, "flag": flag}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of one training run; the defaults are the study's best row of Table 1.

    `model`, `image_size` and `split_scheme` left out (None) become the defaults of the data set
    and the network.

    Raises:
        UsageError: a value is out of range, or two don't go together; the message names
            parameters, values and ranges.
    """

    data: str = _setting(
        "cifar10", f"data set: {', '.join(DATASETS)}, a folder of images, or one that TFDS prepared"
    )
    data_dir: str | None = _setting(
        None, "folder of prepared TFDS data sets (default: TFDS_DATA_DIR, or TFDS' own)"
    )
    archive: str | None = _setting(None, "a EuroSAT.zip, where EuroSAT isn't prepared")
    split_scheme: str = _setting(
        None,
        "split scheme of the data set: standard or final of cifar10, random, spatial or google of "
        "eurosat, random or group:SEPARATOR of a folder, or a folder of three lists of names [the "
        "first of the data set's]",
        flag="--split",
    )
    limit: int | None = _setting(
        None, "use at most N images of each split, chosen by the seed, for trying out"
    )
    skip_damaged: bool = _setting(False, "leave out damaged and other files in a folder of images")
    augment: bool = _setting(False, "vary the training images as suits the data set")
    views: str = _setting(
        "single",
        "views of each image that its prediction is averaged over; mirror: 2, shifts: 10, turns: "
        "the 8 of a square",
        VIEWS,
    )
    model: str = _setting(
        None,
        f"network: {', '.join(NETWORKS)}, or a CNN by its layers, such as "
        "cnn-4conv-2pool-leaky-drop0.1-bn [the data set's default]",
    )
    weights: str = _setting("none", "weights to start from: none, imagenet (download) or a file")
    trainable: str = _setting(
        "all",
        "which layers learn; head: the classifier head, on features that are computed once",
        ("all", "head", "head-then-all"),
        flag="--train",
    )
    image_size: int = _setting(
        None, "side in pixels that images are scaled to [the network's default]"
    )
    recipe: str = _setting("study", "named set of settings; flags override it")
    epochs: int = _setting(10, "passes over the training split")
    batch_size: int = _setting(64, "training images per update")
    optimizer: str = _setting("adam", "optimizer", ("adam", "adamw", "sgd", "muon"))
    lr: float = _setting(0.001, "learning rate, before any decay")
    schedule: str = _setting(
        "step", "learning rate schedule", ("step", "constant", "linear", "cosine")
    )
    step_size: int = _setting(5, "step: epochs between two steps of the learning rate")
    gamma: float = _setting(0.1, "step: factor on the learning rate at each step, at most 1")
    warmup_epochs: int = _setting(0, "cosine: epochs in which the learning rate first rises")
    weight_decay: float | None = _setting(
        None, "decoupled weight decay [adamw: 0.004, as Keras has it; others: none]"
    )
    clip_norm: float | None = _setting(None, "largest norm of a weight's gradient [no limit]")
    label_smoothing: float = _setting(0.0, "share of the target spread over all classes, under 1")
    ema: float = _setting(0.0, "decay of a moving average of the weights, such as 0.999; 0: none")
    class_weights: bool = _setting(False, "weigh classes by the inverse of their frequency")
    early_stopping: int | None = _setting(
        None, "stop after N epochs without a better validation accuracy, and keep the best"
    )
    precision: str = _setting(
        "float32", "precision of the layers", ("float32", "mixed_bfloat16", "mixed_float16")
    )
    seed: int = _setting(0, "seed of split, weights, order, dropout and augmentation")
    split_seed: int | None = _setting(
        None, "seed of the split alone, to train several seeds on one split [that of --seed]"
    )
    deterministic: bool = _setting(
        False, "have TensorFlow refuse operations that vary from run to run (slower)"
    )

    def __post_init__(self) -> None:
        """Fill in the defaults that depend on data set and network, and check all values."""
        for name in ("data", "data_dir", "archive", "split_scheme", "weights"):
            if isinstance(getattr(self, name), os.PathLike):
                object.__setattr__(self, name, os.fspath(getattr(self, name)))
        spec = dataset_spec(self.data)
        self._default("model", spec.network)
        network = network_spec(self.model)
        self._default("split_scheme", spec.split_schemes[0])
        for field in dataclasses.fields(self):
            choices = field.metadata["choices"]
            if choices:
                known = getattr(self, field.name) in choices
                self._require(field.name, known, f"one of {', '.join(choices)}")
        self._default("image_size", network.image_size)
        self._check_ranges()
        self._check_data()
        self._check_network()

    def _default(self, name: str, value: Any) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _require(self, name: str, true: bool, requirement: str) -> None:
        if not true:
            raise UsageError(f"`{name}` is {getattr(self, name)!r}: it must be {requirement}")

    def _check_ranges(self) -> None:
        for name in ("lr", "gamma"):
            self._require(
                name, _is_number(getattr(self, name), above=0), "a number above 0, up to 1e38"
            )
        self._require("gamma", self.gamma <= 1, "at most 1")
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            least = 0 if name in ("seed", "split_seed") else 1
            fits = _is_whole(value, least) and value <= most
            optional = value is None and name in ("limit", "early_stopping", "split_seed")
            self._require(name, fits or optional, f"a whole number from {least} to {most}")
        fits = _is_whole(self.warmup_epochs, 0) and self.warmup_epochs < self.epochs
        self._require("warmup_epochs", fits, f"a whole number under {self.epochs}, the epochs")
        for name in ("label_smoothing", "ema"):
            value = getattr(self, name)
            fits = _is_number(value) and 0 <= value < 1
            self._require(name, fits, "a number from 0 to below 1")
        value = self.weight_decay
        fits = value is None or (_is_number(value) and value >= 0)
        self._require("weight_decay", fits, "a number from 0 to 1e38")
        fits = self.clip_norm is None or _is_number(self.clip_norm, above=0)
        self._require("clip_norm", fits, "a number above 0, up to 1e38")
        if self.warmup_epochs and self.schedule != "cosine":
            raise UsageError(
                f"`warmup_epochs` is {self.warmup_epochs} with `schedule={self.schedule}`: only "
                "`schedule=cosine` warms up"
            )

    def _check_data(self) -> None:
        spec = dataset_spec(self.data)
        known = self.split_is_named() or (spec.lists and os.path.isdir(self.split_scheme))
        also = ["group:SEPARATOR"] * spec.groups
        folder = ", or a folder that holds train.txt, val.txt and test.txt" if spec.lists else ""
        choices = ", ".join([*spec.split_schemes, *also])
        self._require("split_scheme", known, f"one of {choices}{folder}, for {self.data}")
        if self.archive is not None and not spec.archive:
            raise UsageError(f"`archive` prepares EuroSAT, and `data` is {self.data}: leave it out")
        if self.skip_damaged and not spec.damaged:
            raise UsageError(
                f"`skip_damaged` is for a folder of images, and `data` is {self.data}: leave it out"
            )
        if self.trainable == "head":
            for name in ("augment", "views"):
                if getattr(self, name) not in (False, "single"):
                    raise UsageError(
                        f"`{name}` has no effect with `trainable=head`, whose features are "
                        "computed once: leave one of them out"
                    )

    def split_is_named(self) -> bool:
        """Return whether the split scheme has a name, and isn't a folder of lists."""
        spec, scheme = dataset_spec(self.data), self.split_scheme
        group = scheme.startswith("group:") and len(scheme) > len("group:")
        return scheme in spec.split_schemes or (spec.groups and group)

    def _check_network(self) -> None:
        spec = network_spec(self.model)
        fits = _is_whole(self.image_size, spec.smallest) and self.image_size <= 4096
        least = f"a whole number from {spec.smallest} to 4096 for {self.model}"
        self._require("image_size", fits, least)
        endings = (*KERAS_FILES, *spec.formats)
        fits = self.weights in ("none", "imagenet") or self.weights.endswith(endings)
        listed = ", ".join(endings)
        self._require("weights", fits, f"none, imagenet, or a file that ends in one of {listed}")
        if self.optimizer == "muon" and not spec.batch_norm and self.weights != "none":
            raise UsageError(
                f"`weights` is {self.weights!r} with `optimizer=muon`, which changes the norm of "
                f"kernels, and {self.model} has convolutions without a batch norm to undo that: "
                "choose another `optimizer` or `model`"
            )
        if self.optimizer == "muon" and self.weight_decay:
            raise UsageError(
                f"`weight_decay` is {self.weight_decay} with `optimizer=muon`, which sets the norm "
                "of kernels itself: leave it out"
            )
        if self.weights == "imagenet" and not spec.imagenet:
            raise UsageError(
                f"`weights=imagenet` has no download for {self.model}: name a file, or another "
                "`model`"
            )
        if self.weights == "none" and self.trainable != "all":
            raise UsageError(
                f"`trainable={self.trainable}` needs pretrained weights: name `weights`, or leave "
                "it out"
            )

    def seed_of_split(self) -> int:
        """Return the seed that chooses which images train, validate and test."""
        return self.seed if self.split_seed is None else self.split_seed

    def check_files(self) -> None:
        """Check that the files and folders that are named can be read.

        Raises:
            UsageError: one can't.
        """
        if self.data_dir is not None and not _is_readable_folder(self.data_dir):
            raise UsageError(
                f"`data_dir` {self.data_dir} is not a readable folder: name one that holds "
                "prepared TFDS data sets, or leave it out to download"
            )
        if self.archive is not None and not _is_zip(self.archive):
            raise UsageError(f"`archive` {self.archive} is not a zip file: name a EuroSAT.zip")
        readable = os.path.isfile(self.weights) and os.access(self.weights, os.R_OK)
        if self.weights not in ("none", "imagenet") and not readable:
            raise UsageError(
                f"`weights` is {self.weights!r}: it must be none, imagenet or a readable file"
            )


SOURCES = ("data_dir", "archive")  # where data comes from, not what it is


def flag(name: str) -> str:
    """Return the command-line flag of a setting: `batch_size` -> `--batch-size`."""
    named = {field.name: field.metadata["flag"] for field in dataclasses.fields(Config)}
    return named.get(name) or "--" + name.replace("_", "-")


def kind(field: "dataclasses.Field[Any]") -> type:
    """Return the type of a setting's values: `int | None` -> int."""
    hint = typing.get_type_hints(Config)[field.name]
    kinds = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
    found: type = kinds[0] if kinds else hint
    return found


def _is_zip(path: str) -> bool:
    try:
        with open_file(Path(path)) as file:
            return zipfile.is_zipfile(file)
    except (OSError, RunError):
        return False


def _is_readable_folder(path: str) -> bool:
    return os.path.isdir(path) and os.access(path, os.R_OK)


def _is_number(value: Any, above: float = -math.inf) -> bool:
    """Return whether a value is a number that float32 can hold."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and above < value and abs(value) <= LARGEST_NUMBER


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
