"""Runs to be fused: found, read, checked to fit together, and brought into one order.

No TensorFlow here: saved predictions are all that it takes.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels.errors import UsageError
from tfmodels.runs.predictions import Predictions, align, checksum, load_predictions
from tfmodels.runs.directory import is_complete, read_json
from tfmodels.config import FUSION_METHODS

FAMILIES = {"MobileNetV2": ("mobilenetv2",), "AlexNet": ("alexnet", "alexnet-bvlc")}

TAKEN = ("fusion", *FUSION_METHODS, "oracle")  # rows of tables, beside the members


@dataclasses.dataclass(frozen=True)
class Members:
    """Runs that can be fused, brought into one order of pictures.

    `names`, `paths` and `checksums` of the predictions of each; per split, ids (n,), labels (n,)
    and probabilities (n_models, n, classes). Without `val` where they weren't validated on the
    same pictures.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    checksums: tuple[str, ...]
    config: dict[str, Any]  # of the first
    class_names: tuple[str, ...]
    splits: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def find_pretrained(out: Path) -> list[Path]:
    """The newest complete pretrained MobileNetV2 and AlexNet runs on EuroSAT in a folder.

    Raises:
        UsageError: there is none of one or both; the message says how to make them.
    """
    complete = [run for run in sorted(out.glob("*/")) if is_complete(run)]
    configs = {run: read_json(run / "config.json") for run in complete}
    newest: dict[str, Path] = {}
    for run in sorted(configs, key=lambda run: configs[run]["ended"]):
        settings = configs[run]["settings"]
        for family, models in FAMILIES.items():
            if (
                settings.get("model") in models
                and settings["weights"] != "none"
                and settings["data"] == "eurosat"
            ):
                newest[family] = run
    missing = [family for family in FAMILIES if family not in newest]
    if missing:
        commands = " and ".join(
            f"python train_eurosat.py --model {FAMILIES[family][0]} --weights imagenet --out {out}"
            for family in missing
        )
        raise UsageError(
            f"{out} holds no complete run of a pretrained {' or '.join(missing)} on EuroSAT: "
            f"run {commands}, or name the runs to fuse"
        )
    return [newest[family] for family in FAMILIES]


def load_members(runs: Sequence[Path]) -> Members:
    """Read runs and check that they can be fused.

    Raises:
        UsageError: fewer than two, one twice or incomplete, or they don't fit together.
        RunError: a file is missing or damaged.
    """
    if len(runs) < 2:
        raise UsageError(f"{runs[0]} alone can't be fused: name two runs or more")
    for run in runs:
        if not run.is_dir() or not is_complete(run):
            raise UsageError(f"{run} is no complete run directory: name one, such as runs/NAME")
    short = [run.resolve().name for run in runs]
    names = tuple(
        name if short.count(name) == 1 and name not in TAKEN else str(run.resolve())
        for run, name in zip(runs, short, strict=True)
    )
    checksums = tuple(checksum(run / "predictions.npz") for run in runs)
    for i, digest in enumerate(checksums):
        if digest in checksums[:i]:
            twin = runs[checksums.index(digest)]
            raise UsageError(f"{runs[i]} and {twin} are the same run, or have the same predictions")
    configs = [read_json(run / "config.json") for run in runs]
    loaded = [load_predictions(run / "predictions.npz") for run in runs]
    _check_alike(names, configs, [class_names for _, class_names in loaded])
    splits = {"test": align(_named(names, loaded, "test"))}
    if all("val" in held and _same_ids(held, loaded[0][0]) for held, _ in loaded):
        splits["val"] = align(_named(names, loaded, "val"))
    return Members(names, tuple(runs), checksums, configs[0], loaded[0][1], splits)


def _named(names: Sequence[str], loaded: Sequence[Any], split: str) -> dict[str, Predictions]:
    return {name: splits[split] for name, (splits, _) in zip(names, loaded, strict=True)}


def _same_ids(held: dict[str, Predictions], other: dict[str, Predictions]) -> bool:
    return "val" in other and np.array_equal(np.sort(held["val"].ids), np.sort(other["val"].ids))


def _check_alike(
    names: Sequence[str], configs: Sequence[dict[str, Any]], classes: Sequence[tuple[str, ...]]
) -> None:
    def told(i: int) -> dict[str, Any]:
        """What must be the same in all members, of one."""
        dataset = configs[i]["dataset"]
        return {
            "classes": classes[i],
            "data": dataset["name"],
            "version": dataset["version"],
            "split": dataset["split"].split(";")[0],
        }

    first = told(0)
    for i in range(1, len(names)):
        for key, value in told(i).items():
            if value != first[key]:
                raise UsageError(
                    f"{names[i]} has {key} {_differing(value, first[key])}, {names[0]} has "
                    f"{_differing(first[key], value)}: they can't be fused; train both with the "
                    "same data, --split and --seed"
                )


def _differing(value: Any, other: Any) -> str:
    """A value for a message; of class names the first few that the other lacks or has elsewhere."""
    if isinstance(value, str):
        return value
    pairs = [(i, name) for i, name in enumerate(value) if name not in other[i : i + 1]]
    return ", ".join(f"{i} {name}" for i, name in pairs[:3]) or f"{len(value)} in all"
