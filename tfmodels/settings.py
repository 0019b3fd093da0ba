"""What can be set for an experiment: the one source of flags, config.json and defaults.

No TensorFlow here, so that `--help` and wrong arguments answer at once.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

from tfmodels.errors import UsageError

NAMED_SPLITS = ("random", "spatial", "google")  # others are folders of lists
WEIGHTS = ("none", "imagenet")  # others are files, of these kinds:
WEIGHTS_FILES = (".pth", ".safetensors", ".npz", ".npy", ".weights.h5")
SOURCES = ("data_dir", "archive")  # where data comes from, not what it is
FUSION_METHODS = ("sum", "geometric", "power", "weighted", "stacking", "vote")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What the command line has to know of a network of Part 2, before it is built."""

    image_size: int  # the default, a balance of accuracy and time: docs/RESULTS.md
    smallest: int  # the smallest image size at which no map shrinks to nothing


ARCHITECTURES = {
    "mobilenetv2": Architecture(image_size=96, smallest=32),
    "alexnet": Architecture(image_size=128, smallest=63),
    "alexnet-bvlc": Architecture(image_size=131, smallest=67),
}


def _setting(default: Any, kind: type, help: str, choices: tuple[str, ...] | None = None) -> Any:
    metadata = {"kind": kind, "help": help, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every experiment can be told.

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
    data: str = _setting("sample", str, "pictures to learn from", ("sample",))
    data_dir: str | None = _setting(
        None, str, "folder of prepared TFDS data sets (default: TFDS_DATA_DIR, or TFDS' own)"
    )
    limit: int | None = _setting(
        None, int, "use the first N training examples only, for trying out"
    )
    augment: bool = _setting(False, bool, "vary the training pictures")
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
        for field in dataclasses.fields(self):
            choices = field.metadata["choices"]
            if choices:
                known = getattr(self, field.name) in choices
                self._require(field.name, known, f"one of {', '.join(choices)}")

    def _require(self, name: str, true: bool, wanted: str) -> None:
        if not true:
            raise UsageError(f"{flag(name)} is {getattr(self, name)!r}: it must be {wanted}")

    def run_name(self) -> str:
        """The default name of the run directory: the settings that make its result."""
        first = self._named_first()
        parts = [part for part in first.values() if part]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in (*first, *SOURCES) or value == field.default:
                continue
            word = field.name.replace("_", "-")
            if field.metadata["kind"] is bool:
                parts.append(word if value else f"no-{word}")
            else:
                parts.append(f"{word}{value}")
        return "_".join(parts)

    def _named_first(self) -> dict[str, str]:
        return {
            "data": self.data,
            "lr": f"lr{self.lr}",
            "epochs": f"epochs{self.epochs}",
            "seed": f"seed{self.seed}",
        }


@dataclasses.dataclass(frozen=True)
class CifarSettings(Settings):
    """Settings of one CIFAR-10 run; the defaults are the study's best row of Table 1."""

    data: str = _setting("cifar10", str, "pictures to learn from", ("cifar10", "sample"))
    augment: bool = _setting(False, bool, "random crops (4 pixels of reflection padding) and flips")


@dataclasses.dataclass(frozen=True)
class EurosatSettings(Settings):
    """Settings of one EuroSAT run; the defaults are the study's MobileNet from scratch.

    `train` and `image_size` left out (None) become the defaults of the network.
    """

    data: str = _setting("eurosat", str, "pictures to learn from", ("eurosat", "sample"))
    augment: bool = _setting(
        False, bool, "turns by quarters, flips, small shifts and changes of brightness"
    )
    model: str = _setting("mobilenetv2", str, "network", tuple(ARCHITECTURES))
    weights: str = _setting(
        "none", str, "weights to start from: none, imagenet (downloads them) or a file"
    )
    train: str = _setting(
        None,
        str,
        "which layers learn [all]; head: on features that are computed once",
        ("all", "head", "head-then-all"),
    )
    image_size: int = _setting(None, int, "side in pixels that pictures are scaled to [by network]")
    split: str = _setting(
        "random",
        str,
        "which pictures test: random, spatial, google, or a folder of three lists of names",
    )
    archive: str | None = _setting(None, str, "a EuroSAT.zip, where the data isn't prepared")

    def __post_init__(self) -> None:
        for name, default in (
            ("train", "all"),
            ("image_size", getattr(ARCHITECTURES.get(self.model), "image_size", 0)),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        super().__post_init__()
        check_image_size(self.model, self.image_size)
        self._check_weights()
        if self.data == "sample" and self.split in ("spatial", "google"):
            raise UsageError(f"--split {self.split} names pictures of EuroSAT: --data is sample")
        if self.weights == "none" and self.train != "all":
            raise UsageError(
                f"--train is {self.train!r} with --weights none: a head can't learn from layers "
                "that never did; name weights, or train all"
            )
        if self.augment and self.train == "head":
            raise UsageError(
                "--augment with --train head has no effect: the head learns from features that "
                "are computed once; leave one of them out"
            )

    def _check_weights(self) -> None:
        if self.weights not in WEIGHTS and not self.weights.endswith(WEIGHTS_FILES):
            raise UsageError(
                f"--weights is {self.weights!r}: it must be none, imagenet, or a file that ends in "
                f"one of {', '.join(WEIGHTS_FILES)}"
            )
        if self.weights == "imagenet" and self.model == "alexnet-bvlc":
            raise UsageError(
                "--weights imagenet has no download for alexnet-bvlc: name a file, such as "
                "bvlc_alexnet.npy, or use --model alexnet"
            )

    def _named_first(self) -> dict[str, str]:
        split = self.split
        if split not in NAMED_SPLITS:
            split = f"lists-{Path(split).resolve().name}"
        return {
            "data": self.data,
            "model": self.model,
            "weights": "scratch" if self.weights == "none" else Path(self.weights).name,
            "train": "" if self.train == "all" else self.train,
            "image_size": f"{self.image_size}px",
            "split": "" if split == "random" else split,
        } | super()._named_first()


def check_image_size(model: str, image_size: Any) -> None:
    """Check that a network of `ARCHITECTURES` can take pictures of that side in pixels.

    Raises:
        UsageError: it can't; the message names the smallest it can.
    """
    smallest = ARCHITECTURES[model].smallest
    if not _is_whole(image_size, smallest):
        raise UsageError(
            f"--image-size is {image_size!r}: {model} needs a whole number from {smallest} up"
        )


def flag(name: str) -> str:
    """The command-line flag of a setting: `batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
