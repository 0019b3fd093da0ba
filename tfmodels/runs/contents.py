"""What a run directory holds, read with its claims checked."""

import csv
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfmodels.errors import RunError, UsageError
from tfmodels.runs.directory import is_complete
from tfmodels.runs.formats import FusionComparison, RunConfig
from tfmodels.runs.manifest import MANIFEST, check_file, read_manifest
from tfmodels.safe_files import read_json

if TYPE_CHECKING:  # NumPy takes half the time that a wrong command line takes
    import numpy as np

    from tfmodels.runs.predictions import Predictions

INDEX = "index.html"  # of a folder of runs
CONFIG, PREDICTIONS, MODEL = "config.json", "predictions.npz", "model.keras"
LONGEST_ID = 1000  # characters of an image's id, or of a class name
MOST_CLASSES = 10_000  # a confusion matrix of as many takes 800 MB
# How much more an archive's arrays may take than its file; what runs hold shrinks less.
COMPRESSION, UNCHECKED = 100, 2**26


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, whose files are compared with its manifest when they are read.

    Attributes:
        path: of the directory.
        config: content of config.json.
        checksums: SHA-256 of each file; None of a run that isn't complete and has none yet.
    """

    path: Path
    config: RunConfig
    checksums: dict[str, str] | None

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.path.resolve().name.removesuffix(".incomplete")

    def has(self, name: str) -> bool:
        """Return whether the run holds a file."""
        if self.checksums is None:
            return os.path.lexists(self.path / name)
        return name in self.checksums

    def file(self, name: str) -> Path:
        """Return the path of a file, if it is as it was written.

        Raises:
            RunError: it doesn't match the manifest, or is missing.
        """
        if self.checksums is None:
            return self.path / name
        return check_file(self.path, self.checksums, name)

    def training_seconds(self) -> float:
        """Return how long the epochs of all stages took, with their validation.

        Raises:
            RunError: a history is damaged.
        """
        seconds = 0.0
        for name in ("head/history.csv", "history.csv"):
            if self.has(name):
                path = self.file(name)
                try:
                    with path.open() as file:
                        seconds += sum(float(row["seconds"]) for row in csv.DictReader(file))
                except (ValueError, KeyError, TypeError, csv.Error) as error:
                    raise RunError(f"{path} is damaged ({error}): train again") from error
        return seconds

    def check_not_exported(self) -> None:
        """Check that it is a run, whose results can be read.

        Raises:
            UsageError: it is an exported network.
        """
        if "export" in self.config:
            raise UsageError(f"{self.path} is an exported network: name the run that it is of")

    def predictions(self) -> "dict[str, Predictions]":
        """Return the predictions by split.

        Raises:
            UsageError: it is an exported network, which has none.
            RunError: they are missing, damaged, or not for the images of the run.
        """
        from tfmodels.runs.predictions import load_predictions

        self.check_not_exported()
        dataset = self.config["dataset"]
        images = sum(n for split, n in dataset["splits"].items() if split != "train")
        classes = len(dataset["class_names"])
        path = self.file(PREDICTIONS)
        most = 2 * (images + classes) * (4 * classes + 4 * LONGEST_ID + 8)
        splits, class_names = load_predictions(path, _bound(path, most))
        if list(class_names) != dataset["class_names"]:
            raise RunError(f"{path} has other classes than the run's config.json: train again")
        for split, found in splits.items():
            expected = dataset["splits"].get(split)
            if len(found.ids) != expected:
                raise RunError(
                    f"{path} holds {len(found.ids)} images in {split}, and the run's config.json "
                    f"{expected}: train again"
                )
        return splits

    def metrics(self) -> dict[str, Any]:
        """Return the metrics of each split, as of `evaluate`, from the predictions.

        Raises:
            RunError: as of `predictions`.
        """
        from tfmodels.evaluation import evaluate

        class_names = self.config["dataset"]["class_names"]
        return {
            split: evaluate(found.labels, found.probabilities, class_names)
            for split, found in self.predictions().items()
        }

    def images(self, name: str) -> "dict[str, np.ndarray]":
        """Return the test images of `mistakes.npz` or `sample.npz`, by id.

        Raises:
            RunError: they are missing or damaged.
        """
        from tfmodels.runs.predictions import load_images

        shape, path = self.config["dataset"]["image_shape"], self.file(name)
        size = math.prod(shape) + 4 * LONGEST_ID
        most = 2 * self.config["dataset"]["splits"]["test"] * size + 1000
        images = load_images(path, _bound(path, most))
        if any(image.shape != shape for image in images.values()):
            raise RunError(f"{path} holds images of another shape than {shape}: train again")
        return images

    def comparison(self) -> FusionComparison:
        """Return how a fusion compares with its members.

        Raises:
            RunError: fusion.json is missing, damaged, or of other members than the run's.
        """
        path = self.file("fusion.json")
        comparison = read_json(path, FusionComparison)
        members = {member["name"] for member in self.config.get("members", [])}
        entries = members | {"fusion", "oracle"}
        if (
            not comparison["metrics"].keys() == comparison["intervals"].keys() == entries
            or comparison["differences"].keys() != {"fusion"}
            or comparison["rival"] not in members
        ):
            raise RunError(f"{path} is of other members than the run's config.json: fuse again")
        return comparison


def is_run(path: Path) -> bool:
    """Return whether the path is a complete run directory, not an exported network's."""
    exported = (path / "README.md").is_file() and not (path / PREDICTIONS).exists()
    return is_complete(path) and not exported


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Return the paths of complete runs: those named, and all in the folders that are named.

    Raises:
        UsageError: a path is neither.
    """
    found: list[Path] = []
    for path in paths:
        if path.name == INDEX and path.is_file():  # among the runs of a folder, `runs/*`
            continue
        inside = [path] if is_complete(path) else sorted(filter(is_run, path.glob("*/")))
        if not inside:
            raise UsageError(
                f"{path} is not a complete run directory and holds none: name runs or their folder"
            )
        found += inside
    return list({path.resolve(): path for path in found}.values())


def open_run(path: Path) -> Run:
    """Open a complete run directory.

    Raises:
        UsageError: it isn't one.
        RunError: its manifest or config.json is damaged.
    """
    if not is_complete(path):
        raise UsageError(f"{path} is not a complete run directory: {_hint(path)}")
    checksums = read_manifest(path)
    return Run(path, _read_config(check_file(path, checksums, CONFIG)), checksums)


def open_unfinished(path: Path) -> Run:
    """Open a run directory that isn't complete; there is no manifest to check its files with.

    Raises:
        UsageError: it isn't one.
        RunError: its config.json is damaged.
    """
    if not (path / CONFIG).is_file():
        raise UsageError(f"{path} is not a run directory: name one, such as runs/NAME")
    return Run(path, _read_config(path / CONFIG), None)


def _bound(path: Path, most: int) -> int:
    """Return the bytes that the arrays of a file may take, whatever config.json claims."""
    return min(most, max(UNCHECKED, COMPRESSION * path.stat().st_size))


def _hint(path: Path) -> str:
    if path.resolve().suffix == ".incomplete":
        return "it stopped early, and the command that began it continues it"
    if (path / CONFIG).is_file():
        return f"it has no {MANIFEST}; if it is of an earlier version, train again"
    return "name one, such as runs/NAME"


def _read_config(path: Path) -> RunConfig:
    config = read_json(path, RunConfig)
    fault = next(_faults(config), None)
    if fault:
        raise RunError(f"{path} can't be used: {fault}; train again")
    return config


def _faults(config: RunConfig) -> Iterator[str]:
    """Yield what is wrong with a config.json beyond types, in words."""
    dataset, settings = config["dataset"], config["settings"]
    if min(dataset["splits"].values(), default=0) < 0 or "test" not in dataset["splits"]:
        yield f"the numbers of images are {dataset['splits']}"
    names = dataset["class_names"]
    if len(names) > MOST_CLASSES:
        yield f"there are {len(names):,} classes, and at most {MOST_CLASSES:,} can be judged"
    if max(map(len, names), default=0) > LONGEST_ID:
        yield f"the name of a class has more than {LONGEST_ID} letters"
    if not all(map(str.isprintable, (*names, dataset["name"], dataset["split"]))):
        yield "a name holds control characters"
    if min(dataset["image_shape"]) < 1:
        yield f"images have shape {dataset['image_shape']}"
    if not config["command"]:
        yield "the command is empty"
    if "members" in config and not isinstance(settings.get("method"), str):
        yield "the method of the fusion is missing"
