"""Runs to be fused: finding them, and checking that they fit together."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels.errors import RunError, UsageError
from tfmodels.fusion.methods import METHODS
from tfmodels.models.catalog import NETWORKS
from tfmodels.runs.directory import is_complete, read_json
from tfmodels.runs.predictions import Predictions, align, checksum, load_predictions

FAMILIES = ("MobileNet", "AlexNet")  # of the study's fusion
ROWS = ("fusion", *METHODS, "oracle")  # of tables, besides the members


@dataclasses.dataclass(frozen=True)
class Members:
    """Runs that can be fused, with their predictions in one order of images.

    Attributes:
        names: a name for each run.
        paths: their run directories.
        checksums: SHA-256 of their predictions.
        config: config.json of the first run.
        class_names: names of the classes.
        splits: for `test`, and for `val` if all were validated on the same images: ids (n,),
            labels (n,) and probabilities (n_models, n, classes).
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    checksums: tuple[str, ...]
    config: dict[str, Any]
    class_names: tuple[str, ...]
    splits: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def find_pretrained(out: Path) -> list[Path]:
    """Return the newest complete pretrained MobileNet and AlexNet runs on EuroSAT in a folder.

    Raises:
        UsageError: there is none of one or both; the message says how to train them.
    """
    newest = {family: run for _, family, run in sorted(_pretrained(out))}
    missing = [family for family in FAMILIES if family not in newest]
    if missing:
        networks = [
            next(name for name, spec in NETWORKS.items() if spec.family == family)
            for family in missing
        ]
        needed = " and ".join(
            f"one with `model={network}` and `weights=imagenet`" for network in networks
        )
        raise UsageError(
            f"{out} holds no complete run of a pretrained {' or '.join(missing)} on EuroSAT: "
            f"train {needed}, or name the runs to fuse"
        )
    return [newest[family] for family in FAMILIES]


def _pretrained(out: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield end time, family and path of the complete pretrained runs on EuroSAT in a folder."""
    for run in sorted(out.glob("*/")):
        try:
            if not is_complete(run):
                continue
            config = read_json(run / "config.json")
            settings = config["settings"]
            spec = NETWORKS.get(settings.get("model"))  # a fusion has none
            if spec and settings["weights"] != "none" and settings["data"] == "eurosat":
                yield str(config["ended"]), spec.family, run
        except (RunError, KeyError, TypeError, AttributeError) as error:
            reason = error if isinstance(error, RunError) else "its config.json is incomplete"
            print(f"warning: {run} is skipped: {reason}", file=sys.stderr)


def load_members(runs: Sequence[Path]) -> Members:
    """Read runs and check that they can be fused.

    A fusion together with its own members is fused with a warning.

    Raises:
        UsageError: fewer than two, one twice or incomplete, or they don't fit together.
        RunError: a file is missing or damaged.
    """
    if len(runs) < 2:
        raise UsageError(f"{runs[0]} alone can't be fused: name two runs or more")
    for run in runs:
        if not run.is_dir() or not is_complete(run):
            raise UsageError(f"{run} is not a complete run directory: name one, such as runs/NAME")
    short = [run.resolve().name for run in runs]
    names = tuple(
        name if short.count(name) == 1 and name not in ROWS else str(run.resolve())
        for run, name in zip(runs, short, strict=True)
    )
    checksums = tuple(checksum(run / "predictions.npz") for run in runs)
    for i, digest in enumerate(checksums):
        if digest in checksums[:i]:
            twin = runs[checksums.index(digest)]
            raise UsageError(f"{runs[i]} and {twin} are the same run, or have the same predictions")
    configs = [read_json(run / "config.json") for run in runs]
    _warn_of_nesting(names, configs, checksums)
    loaded = [load_predictions(run / "predictions.npz") for run in runs]
    _check_alike(names, configs, [class_names for _, class_names in loaded])
    splits = {"test": align(_select_split("test", names, loaded))}
    if all("val" in own and _same_ids(own, loaded[0][0]) for own, _ in loaded):
        splits["val"] = align(_select_split("val", names, loaded))
    return Members(names, tuple(runs), checksums, configs[0], loaded[0][1], splits)


def _warn_of_nesting(
    names: Sequence[str], configs: Sequence[dict[str, Any]], checksums: Sequence[str]
) -> None:
    for name, config in zip(names, configs, strict=True):
        inside = {member["sha256"] for member in config.get("members", [])}
        also = [other for other, digest in zip(names, checksums, strict=True) if digest in inside]
        if also:
            print(
                f"warning: {name} is itself a fusion of {' and '.join(also)}, which therefore "
                f"{'count' if len(also) > 1 else 'counts'} twice",
                file=sys.stderr,
            )


def _select_split(
    split: str, names: Sequence[str], loaded: Sequence[Any]
) -> dict[str, Predictions]:
    return {name: splits[split] for name, (splits, _) in zip(names, loaded, strict=True)}


def _same_ids(splits: dict[str, Predictions], other: dict[str, Predictions]) -> bool:
    return "val" in other and np.array_equal(np.sort(splits["val"].ids), np.sort(other["val"].ids))


def _check_alike(
    names: Sequence[str], configs: Sequence[dict[str, Any]], classes: Sequence[tuple[str, ...]]
) -> None:
    """Check that classes, data set, version and split scheme are the same in all."""
    first = _requirements(configs[0], classes[0])
    for i in range(1, len(names)):
        for key, value in _requirements(configs[i], classes[i]).items():
            if value != first[key]:
                raise UsageError(
                    f"{names[i]} has {key} {_differing(value, first[key])}, {names[0]} has "
                    f"{_differing(first[key], value)}: they can't be fused; train both with the "
                    "same `data`, `split_scheme` and `seed`"
                )


def _requirements(config: dict[str, Any], class_names: tuple[str, ...]) -> dict[str, Any]:
    dataset = config["dataset"]
    return {
        "classes": class_names,
        "data": dataset["name"],
        "version": dataset["version"],
        "split": dataset["split"].split(";")[0],
    }


def _differing(value: Any, other: Any) -> str:
    """Return a value for a message; of class names, the first few that differ from the other's."""
    if isinstance(value, str):
        return value
    pairs = [(i, name) for i, name in enumerate(value) if name not in other[i : i + 1]]
    return ", ".join(f"{i} {name}" for i, name in pairs[:3]) or f"{len(value)} in all"
