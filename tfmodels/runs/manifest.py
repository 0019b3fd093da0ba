"""The manifest of a run directory: the SHA-256 of each of its files."""

import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import TypedDict

from tfmodels.errors import RunError
from tfmodels.safe_files import checksum, read_json, write_json

MANIFEST = "manifest.json"


class Manifest(TypedDict):
    """Content of manifest.json.

    `files` are the SHA-256 of each file by its path in the run directory.
    """

    files: dict[str, str]


def write_manifest(run: Path) -> None:
    """Write the manifest of a run, as its last file."""
    write_json(run / MANIFEST, {"files": {name: checksum(run / name) for name in list_files(run)}})


def read_manifest(run: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a run by its path.

    Raises:
        RunError: the manifest is missing or damaged, or names a file elsewhere.
    """
    files = read_json(run / MANIFEST, Manifest)["files"]
    for name in files:
        path = PureWindowsPath(name)  # with both kinds of slashes, and drives
        if path.anchor or ".." in path.parts or name != path.as_posix():
            raise RunError(f"{run / MANIFEST} can't be used: it names {name!r}; train again")
    return files


def update_manifest(run: Path, name: str) -> None:
    """Record that a file of a run was written again, such as its report."""
    files = read_manifest(run)
    write_json(run / MANIFEST, {"files": files | {name: checksum(run / name)}})


def check_file(run: Path, files: dict[str, str], name: str) -> Path:
    """Return the path of a file of a run, if it is as the manifest has it.

    Raises:
        RunError: it isn't, or one of both lacks it.
    """
    path = run / name
    if name not in files:
        raise RunError(f"{run / MANIFEST} doesn't name {name}: train again")
    if not os.path.lexists(path):
        raise RunError(f"{path} is missing: train again")
    if path.is_symlink() or checksum(path) != files[name]:
        again = "make it again with `report`" if name == "report.html" else "train again"
        raise RunError(f"{path} doesn't match the manifest: it was damaged or changed; {again}")
    return path


def list_files(run: Path) -> Iterator[str]:
    """Yield the paths of a run's files in it, sorted, without the manifest."""
    paths = (path.relative_to(run).as_posix() for path in run.rglob("*") if not path.is_dir())
    yield from sorted(name for name in paths if name != MANIFEST)
