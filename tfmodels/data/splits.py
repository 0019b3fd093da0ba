"""Which pictures train, validate and test: lists of names.

Neighbouring tiles of EuroSAT show the same fields. Split at random, training has seen the
surroundings of what is tested, and figures come out too high; the split `spatial` keeps
tiles apart by longitude.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmodels.errors import UsageError

SPLITS = ("train", "val", "test")
# Published lists, by the names that their authors gave the files.
PUBLISHED = {
    # torchgeo's EuroSATSpatial: 60/20/20 by longitude.
    "spatial": ("eurosat-spatial-train.txt", "eurosat-spatial-val.txt", "eurosat-spatial-test.txt"),
    # remote_sensing_representations (Neumann et al. 2019, arXiv:1911.06721): 60/20/20 at random.
    "google": ("eurosat-train.txt", "eurosat-val.txt", "eurosat-test.txt"),
}

Split = dict[str, list[str]]


def random_split(names: Sequence[str], seed: int) -> Split:
    """The study's split: a fifth for testing, then a fifth of the rest for validation.

    By name, so it is the same in whatever order the pictures are stored.
    """
    order = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    test = round(0.2 * len(order))
    val = round(0.2 * (len(order) - test))
    return {"train": order[test + val :], "val": order[test : test + val], "test": order[:test]}


def check_split(split: Split, classes: Mapping[str, str], source: str) -> None:
    """Check lists of names against the pictures there are.

    Args:
        split: names of `train`, `val` and `test`.
        classes: the class of every picture by name.
        source: where the lists come from, for the message.

    Raises:
        UsageError: a list names a picture that isn't there or names one twice, two lists share
            one, or a class is missing from one; the message names the first few.
    """
    seen: dict[str, str] = {}
    for part, names in split.items():
        unknown = [name for name in names if name not in classes]
        if unknown:
            raise UsageError(f"{source}: {part} names unknown pictures: {_first(unknown)}")
        shared = [name for name in names if name in seen]
        if shared:
            raise UsageError(f"{source}: {part} and {seen[shared[0]]} share {_first(shared)}")
        seen |= dict.fromkeys(names, part)
        if len(set(names)) < len(names):
            raise UsageError(f"{source}: {part} names a picture twice")
        missing = set(classes.values()) - {classes[name] for name in names}
        if missing:
            raise UsageError(f"{source}: {part} has no picture of {_first(sorted(missing))}")


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def read_lists(paths: Sequence[Path]) -> Split:
    """Read the names of `train`, `val` and `test`, one a line.

    Raises:
        UsageError: a file can't be read.
    """
    split = {}
    for part, path in zip(SPLITS, paths, strict=True):
        try:
            split[part] = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} can't be read as a list of names ({error})") from error
    return split
