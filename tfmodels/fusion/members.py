"""Runs to be fused: finding them, and checking that they fit together."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels.errors import RunError, UsageError, first_names
from tfmodels.fusion.methods import METHODS
from tfmodels.models.catalog import NETWORKS
from tfmodels.runs.contents import Run, is_run, open_run
from tfmodels.runs.directory import without_seed
from tfmodels.runs.formats import Dataset, RunConfig
from tfmodels.runs.predictions import Predictions, align
from tfmodels.safe_files import checksum

FAMILIES = ("MobileNet", "AlexNet")  # of the study's fusion
ROWS = ("fusion", *METHODS, "oracle")  # of tables, besides the members


@dataclasses.dataclass(frozen=True)
class Members:
    """Runs that can be fused, with their predictions in one order of images.

    Attributes:
        names: a name for each run.
        runs: their run directories.
        checksums: SHA-256 of their predictions.
        class_names: names of the classes.
        splits: for `test`, and for `val` if all were validated on the same images: ids (n,),
            labels (n,) and probabilities (n_models, n, classes).
    """

    names: tuple[str, ...]
    runs: tuple[Run, ...]
    checksums: tuple[str, ...]
    class_names: tuple[str, ...]
    splits: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]

    @property
    def dataset(self) -> Dataset:
        """The data that all of them have in common."""
        return self.runs[0].config["dataset"]


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
            if not is_run(run):
                continue
            config = open_run(run).config
        except RunError as error:
            print(f"warning: {run} is skipped: {error}", file=sys.stderr)
            continue
        settings = config["settings"]
        spec = NETWORKS.get(str(settings.get("model")))  # a fusion has none
        if spec and settings.get("weights") != "none" and settings.get("data") == "eurosat":
            yield config.get("ended", ""), spec.family, run


def group_by_split(runs: Sequence[Path]) -> list[list[Path]]:
    """Return runs in groups of the same data and split, the same networks in the same order.

    Raises:
        UsageError: a run is incomplete, or the groups aren't of the same networks.
    """
    groups: dict[str, list[Path]] = {}
    for run in runs:
        groups.setdefault(str(requirements(open_run(run).config)), []).append(run)
    if len(groups) == 1:
        return [list(runs)]
    ordered = [sorted(group, key=_network) for group in groups.values()]
    for group in ordered[1:]:
        different = {*map(_network, group)} ^ {*map(_network, ordered[0])}
        if different or len(group) != len(ordered[0]):
            raise UsageError(
                "runs of several splits are fused split by split, and one has "
                f"{first_names([run.name for run in group])}, another "
                f"{first_names([run.name for run in ordered[0]])}: name the same networks for each"
            )
    return ordered


def _network(run: Path) -> str:
    return without_seed(run.resolve().name)


def load_members(runs: Sequence[Path]) -> Members:
    """Read runs and check that they can be fused.

    A fusion together with its own members is fused with a warning.

    Raises:
        UsageError: fewer than two, one twice or incomplete, or they don't fit together.
        RunError: a file is missing or damaged.
    """
    opened = [open_run(run) for run in runs]
    if len(runs) < 2:
        raise UsageError(f"{runs[0]} alone can't be fused: name two runs or more")
    short = [run.name for run in opened]
    names = tuple(
        name if short.count(name) == 1 and name not in ROWS else str(run.resolve())
        for run, name in zip(runs, short, strict=True)
    )
    loaded = [run.predictions() for run in opened]
    checksums = tuple(checksum(run.path / "predictions.npz") for run in opened)
    for i, digest in enumerate(checksums):
        if digest in checksums[:i]:
            twin = runs[checksums.index(digest)]
            raise UsageError(f"{runs[i]} and {twin} are the same run, or have the same predictions")
    configs = [run.config for run in opened]
    _warn_of_nesting(names, configs, checksums)
    _check_alike(names, configs)
    splits = {"test": align(_select_split("test", names, loaded))}
    if all("val" in own and _same_ids(own, loaded[0]) for own in loaded):
        splits["val"] = align(_select_split("val", names, loaded))
    class_names = tuple(configs[0]["dataset"]["class_names"])
    return Members(names, tuple(opened), checksums, class_names, splits)


def members_of(fusion: Run) -> Members:
    """Read the members of a fusion, from where they were when they were fused.

    Raises:
        UsageError: as of `load_members`.
        RunError: a member has other predictions now, or is damaged.
    """
    listed = fusion.config["members"]
    members = load_members([Path(member["path"]) for member in listed])
    for member, digest in zip(listed, members.checksums, strict=True):
        if digest != member["sha256"]:
            raise RunError(f"{member['path']} has other predictions than those that were fused")
    return members


def _warn_of_nesting(
    names: Sequence[str], configs: Sequence[RunConfig], checksums: Sequence[str]
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
    split: str, names: Sequence[str], loaded: Sequence[dict[str, Predictions]]
) -> dict[str, Predictions]:
    return {name: splits[split] for name, splits in zip(names, loaded, strict=True)}


def _same_ids(splits: dict[str, Predictions], other: dict[str, Predictions]) -> bool:
    return "val" in other and np.array_equal(np.sort(splits["val"].ids), np.sort(other["val"].ids))


def _check_alike(names: Sequence[str], configs: Sequence[RunConfig]) -> None:
    """Check that classes, data set, version and split scheme are the same in all."""
    first = requirements(configs[0])
    for i in range(1, len(names)):
        for key, value in requirements(configs[i]).items():
            if value != first[key]:
                raise UsageError(
                    f"{names[i]} has {key} {_differing(value, first[key])}, {names[0]} has "
                    f"{_differing(first[key], value)}: they can't be fused; train both with the "
                    "same `data`, `split_scheme` and `seed`"
                )


def requirements(config: RunConfig) -> dict[str, Any]:
    """Return what must be the same in runs for them to be fused."""
    dataset = config["dataset"]
    return {
        "classes": dataset["class_names"],
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
