"""Split schemes: which images train, validate and test, as lists of names.

Neighbouring tiles of EuroSAT show the same fields. Split at random, training has seen the
surroundings of the test images, and metrics come out too high; the split scheme `spatial` keeps
neighbours apart by longitude. In a folder of images, `group:SEPARATOR` keeps images together
that belong together.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from tfmodels.download import cache_dir, download
from tfmodels.errors import RunError, UsageError, first_names
from tfmodels.safe_files import open_file

SPLITS = ("train", "val", "test")
SHARES = {"train": 0.64, "val": 0.16, "test": 0.2}  # the study's: see `random_split`
GROUP = "group:"
LEAKAGE = (
    "neighbouring tiles fall into different splits, so the metrics are higher than on land that "
    "was never seen (the split scheme spatial keeps neighbours apart)"
)


@dataclasses.dataclass(frozen=True)
class Published:
    """Lists that someone published.

    Attributes:
        url: of the folder that holds them.
        files: names of the lists of train, val and test.
        checksums: SHA-256 of their sorted names; not of the files, because copies of the lists
            differ in order and in newlines.
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


def named_split(scheme: str, classes: Mapping[str, str], seed: int) -> Lists:
    """Return the names of each split that a split scheme stands for.

    Args:
        scheme: `random` (see `random_split`), `group:SEPARATOR` (see `group_split`), `spatial` or
            `google` (`PUBLISHED`: kept in ~/.cache/tfmodels/splits, downloaded if they aren't
            there), or a folder that holds train.txt, val.txt and test.txt with one name a line.
        classes: the class of every image by name.
        seed: of the random and the group split.

    Raises:
        UsageError: the lists can't be read, or don't fit the images (see `check_split`), or a
            class has too few groups.
        RunError: published lists can't be downloaded, or aren't what was published.
    """
    if scheme == "random":
        splits = random_split(list(classes), seed)
    elif scheme.startswith(GROUP):
        splits = group_split(classes, scheme.removeprefix(GROUP), seed)
    elif scheme in PUBLISHED:
        splits = _published_split(PUBLISHED[scheme], classes)
    else:
        splits = read_lists([Path(scheme) / f"{split}.txt" for split in SPLITS], classes)
    check_split(splits, classes, f"`split_scheme={scheme}`")
    return splits


def describe_split(scheme: str, seed: int, leaks: bool) -> str:
    """Return what a split is, with a warning where neighbours of test images train."""
    if scheme == "random":
        return f"random, seed {seed}" + (f"; {LEAKAGE}" if leaks else "")
    if scheme.startswith(GROUP):
        separator = scheme.removeprefix(GROUP)
        return f"by groups of files whose names agree before {separator!r}, seed {seed}"
    return {
        "spatial": "spatial: by longitude, so neighbouring tiles are kept apart (torchgeo)",
        "google": f"google: a published random split; {LEAKAGE}",
    }.get(scheme, f"the lists in {scheme}; whether they keep neighbours apart isn't known")


def describe_stratified(seed: int) -> str:
    """Return how a random split within each class was made, and what that means for metrics."""
    return (
        f"random within each class, seed {seed}; of images that belong together, such as tiles of "
        "a scene, metrics are too high"
    )


def _published_split(published: Published, classes: Mapping[str, str]) -> Lists:
    folder = cache_dir() / "splits"
    paths = [folder / file for file in published.files]
    for path in paths:
        if not os.path.lexists(path):
            try:
                download(f"{published.url}/{path.name}", path)
            except (OSError, RunError) as error:
                raise RunError(
                    f"the list {path.name} could not be downloaded ({error}): connect to the "
                    f"network, or put it into {folder} yourself"
                ) from error
    for path, checksum in zip(paths, published.checksums, strict=True):
        names = [name for _, name in _lines(path, classes)]
        found = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
        if found != checksum:
            raise RunError(f"{path} is not the list that was published: delete it, and try again")
    return read_lists(paths, classes)


def random_split(names: Sequence[str], seed: int) -> Lists:
    """Return the study's split: a fifth for testing, then a fifth of the rest for validation.

    By name, so it is the same in whatever order the images are stored.
    """
    order = np.random.default_rng(seed).permutation(sorted(names)).tolist()
    test = round(0.2 * len(order))
    val = round(0.2 * (len(order) - test))
    return {"train": order[test + val :], "val": order[test : test + val], "test": order[:test]}


def stratified_split(
    classes: Mapping[str, str], seed: int, splits: Sequence[str] = ("train", "val", "test")
) -> Lists:
    """Return a random split like `random_split` within each class, so small ones are in each split.

    Args:
        classes: the class of every image by name.
        seed: of the choice.
        splits: from the first, a fifth of what is left goes to each other one, the last first.
    """
    members: dict[str, list[str]] = {}
    for name in sorted(classes):
        members.setdefault(classes[name], []).append(name)
    rng = np.random.default_rng(seed)
    lists: Lists = {split: [] for split in splits}
    for label in sorted(members):
        order = rng.permutation(members[label]).tolist()
        for split in reversed(splits[1:]):
            fifth = round(0.2 * len(order))
            lists[split] += order[:fifth]
            order = order[fifth:]
        lists[splits[0]] += order
    return lists


def group_split(classes: Mapping[str, str], separator: str, seed: int) -> Lists:
    """Return a random split that keeps images together whose file names start alike.

    Groups are assigned class by class, from the class with the fewest groups: each to the split
    that most images of its classes are missing from, but the last ones of a class to the splits
    that would have none of it.

    Args:
        classes: the class of every image by its path, with slashes.
        separator: file names that agree before its first occurrence are one group, in whatever
            folders they are; a file name without it is a group of its own.
        seed: of the order of the groups of a class.

    Raises:
        UsageError: a class has fewer groups than there are splits.
    """
    if not any(separator in PurePosixPath(name).name for name in classes):
        raise UsageError(
            f"`split_scheme={GROUP}{separator}`: no file name holds {separator!r}, so no images "
            "would be kept together: choose another separator, or another split scheme"
        )
    groups = _groups(sorted(classes), separator)
    class_names = sorted(set(classes.values()))
    indices = {name: index for index, name in enumerate(class_names)}
    counts = np.zeros((len(groups), len(class_names)))  # images of each class in each group
    for row, names in enumerate(groups):
        np.add.at(counts[row], [indices[classes[name]] for name in names], 1)
    held = np.count_nonzero(counts, axis=0)  # groups that hold a class
    if held.min() < len(SPLITS):
        raise UsageError(
            f"`split_scheme={GROUP}{separator}`: class {class_names[held.argmin()]} has "
            f"{held.min()} groups of files whose names agree before {separator!r}, and each of "
            f"{', '.join(SPLITS)} needs one: choose another separator, or another split scheme"
        )

    wanted = np.outer(list(SHARES.values()), counts.sum(axis=0))  # images, by split and class
    reached = np.zeros_like(wanted)
    assigned = np.full(len(groups), -1)  # indices of splits
    order = np.random.default_rng(seed).permutation(len(groups))
    for index in np.argsort(held, kind="stable"):
        rows = order[(counts[order, index] > 0) & (assigned[order] < 0)]
        for done, row in enumerate(rows):
            empty = np.flatnonzero(reached[:, index] == 0)
            choices = empty if len(empty) == len(rows) - done else np.arange(len(SPLITS))
            missing = (wanted - reached) @ counts[row]
            assigned[row] = choices[missing[choices].argmax()]
            reached[assigned[row]] += counts[row]
    return {
        split: [name for row in np.flatnonzero(assigned == index) for name in groups[row]]
        for index, split in enumerate(SPLITS)
    }


def _groups(names: Sequence[str], separator: str) -> list[list[str]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        start, found, _ = name.rpartition("/")[2].partition(separator)
        groups.setdefault((start, found) if found else (name,), []).append(name)
    return list(groups.values())


def left_out(splits: Lists, classes: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note if a split doesn't use all images."""
    used = sum(map(len, splits.values()))
    if used == len(classes):
        return ()
    return (f"the split uses {used} of {len(classes)} images: the others are left out",)


def check_split(splits: Lists, classes: Mapping[str, str], source: str) -> None:
    """Check lists of names against the images there are.

    Args:
        splits: names of `train`, `val` and `test`.
        classes: the class of every image by name.
        source: where the lists come from, for the message.

    Raises:
        UsageError: a list names an image that isn't there or names one twice, two lists share
            one, or a class is missing from one; the message names the first few.
    """
    seen: dict[str, str] = {}
    for split, names in splits.items():
        unknown = [name for name in names if name not in classes]
        if unknown:
            raise UsageError(f"{source}: {split} names unknown images: {first_names(unknown)}")
        shared = [name for name in names if name in seen]
        if shared:
            raise UsageError(f"{source}: {split} and {seen[shared[0]]} share {first_names(shared)}")
        seen |= dict.fromkeys(names, split)
        if len(set(names)) < len(names):
            raise UsageError(f"{source}: {split} names an image twice")
        missing = set(classes.values()) - {classes[name] for name in names}
        if missing:
            raise UsageError(f"{source}: {split} has no image of {first_names(sorted(missing))}")


def read_lists(paths: Sequence[Path], classes: Mapping[str, str]) -> Lists:
    """Return the names of `train`, `val` and `test` that are in files, one a line.

    Raises:
        UsageError: a file can't be read, or names an image that isn't there; the message names the
            file and the line.
    """
    lists = {}
    for split, path in zip(SPLITS, paths, strict=True):
        lines = _lines(path, classes)
        for number, name in lines:
            if name not in classes:
                raise UsageError(f"{path}, line {number}: there is no image {name[:100]!r}")
        lists[split] = [name for _, name in lines]
    return lists


def _lines(path: Path, classes: Mapping[str, str]) -> list[tuple[int, str]]:
    """Return a list's names with the numbers of their lines."""
    # All names and ends of lines, and as much again for blanks.
    most = 2 * sum(len(name.encode()) + 2 for name in classes) + 2**16
    try:
        with open_file(path) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise UsageError(f"{path} has more than {most:,} bytes: it isn't a list of the images")
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {number}: it isn't text in UTF-8") from error
    except UsageError:
        raise
    except (OSError, RunError) as error:
        raise UsageError(f"{path} can't be read as a list of names ({error})") from error
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
