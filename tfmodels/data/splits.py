"""Which pictures train, validate and test: lists of names.

Neighbouring tiles of EuroSAT show the same fields. Split at random, training has seen the
surroundings of what is tested, and figures come out too high; the split `spatial` keeps
tiles apart by longitude.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmodels.download import cache_dir, download
from tfmodels.errors import RunError, UsageError, first_names

LEAKAGE = (
    "neighbouring tiles fall on both sides of it, so the figures are higher than on land never "
    "seen (--split spatial keeps neighbours apart)"
)
SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Published:
    """Lists that someone published: where they are, and SHA-256 of their sorted names.

    Of the names, not of the file: copies of the lists differ in order and in newlines.
    """

    url: str
    files: tuple[str, str, str]
    checksums: tuple[str, str, str]


PUBLISHED = {
    # torchgeo's EuroSATSpatial: 60/20/20 by longitude.
    "spatial": Published(
        "https://huggingface.co/datasets/torchgeo/eurosat/resolve/main",
        ("eurosat-spatial-train.txt", "eurosat-spatial-val.txt", "eurosat-spatial-test.txt"),
        (
            "3986510d01596868f99ac2cf7c777c2b7a84173391ae2980525a875fec928d67",
            "58fbbab953e3814b952144945767c46360b578801f1014d27b5c41749a6fb2c6",
            "dd40aa04011d98e39e8493f54d209b8f1ca94fa6ff5ea5746dbdd716278a5697",
        ),
    ),
    # remote_sensing_representations (Neumann et al. 2019, arXiv:1911.06721): 60/20/20 at random.
    "google": Published(
        "https://storage.googleapis.com/remote_sensing_representations",
        ("eurosat-train.txt", "eurosat-val.txt", "eurosat-test.txt"),
        (
            "7df8d67943f9eb6a66d283fe311826160cf50b362c5625177132df9365f70ee2",
            "343f3843154ac1cf396ceed60cc6a1a176cb8ac1beede0c3e197235288090e94",
            "a2967500f5621c762bf6896cddcf71252d1bd8a2a306bb25f74660014439c3e3",
        ),
    ),
}

Lists = dict[str, list[str]]


def named_split(split: str | Path, classes: Mapping[str, str], seed: int) -> Lists:
    """The split that a name or a folder stands for.

    Args:
        split: `random` (see `random_split`), `spatial` or `google` (`PUBLISHED`: kept in
            ~/.cache/tfmodels/splits, downloaded where they aren't there), or a folder that
            holds train.txt, val.txt and test.txt with one name a line.
        classes: the class of every picture by name.
        seed: of the random split.

    Raises:
        UsageError: the lists can't be read, or can't be right (see `check_split`).
        RunError: published lists can't be had, or aren't what was published.
    """
    if split == "random":
        parts = random_split(list(classes), seed)
    elif split in PUBLISHED:
        parts = _published_split(PUBLISHED[str(split)])
    else:
        parts = read_lists([Path(split) / f"{part}.txt" for part in SPLITS])
    check_split(parts, classes, str(split))
    return parts


def describe_split(split: str | Path, seed: int, leaks: bool) -> str:
    """What a split is, in words, with a warning where neighbours of the tested were trained on."""
    if split != "random":
        return {
            "spatial": "spatial: by longitude, so neighbouring tiles are kept apart (torchgeo)",
            "google": f"google: a published random split; {LEAKAGE}",
        }.get(str(split), f"the lists in {split}; whether they keep neighbours apart isn't known")
    return f"random, seed {seed}" + (f"; {LEAKAGE}" if leaks else "")


def _published_split(published: Published) -> Lists:
    folder = cache_dir() / "splits"
    paths = [folder / file for file in published.files]
    for path in paths:
        if not path.exists():
            try:
                download(f"{published.url}/{path.name}", path)
            except (OSError, RunError) as error:
                raise RunError(
                    f"the list {path.name} could not be downloaded ({error}): connect to the "
                    f"network, or put it into {folder} yourself"
                ) from error
    parts = read_lists(paths)
    for names, path, checksum in zip(parts.values(), paths, published.checksums, strict=True):
        found = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
        if found != checksum:
            raise RunError(f"{path} is not the list that was published: delete it, and try again")
    return parts


def random_split(names: Sequence[str], seed: int) -> Lists:
    """The study's split: a fifth for testing, then a fifth of the rest for validation.

    By name, so it is the same in whatever order the pictures are stored.
    """
    order = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    test = round(0.2 * len(order))
    val = round(0.2 * (len(order) - test))
    return {"train": order[test + val :], "val": order[test : test + val], "test": order[:test]}


def check_split(split: Lists, classes: Mapping[str, str], source: str) -> None:
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
            raise UsageError(f"{source}: {part} names unknown pictures: {first_names(unknown)}")
        shared = [name for name in names if name in seen]
        if shared:
            raise UsageError(f"{source}: {part} and {seen[shared[0]]} share {first_names(shared)}")
        seen |= dict.fromkeys(names, part)
        if len(set(names)) < len(names):
            raise UsageError(f"{source}: {part} names a picture twice")
        missing = set(classes.values()) - {classes[name] for name in names}
        if missing:
            raise UsageError(f"{source}: {part} has no picture of {first_names(sorted(missing))}")


def read_lists(paths: Sequence[Path]) -> Lists:
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
