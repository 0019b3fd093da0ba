"""The run directory: where a run's files go, and how it is known to be complete.

A run is made in `<path>.incomplete` and renamed to `<path>` as its last act, so a
directory without that ending is complete, whatever happened. No TensorFlow here.
"""

import contextlib
import datetime
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfmodels.errors import RunError, UsageError

RESULTS = (  # of every run, a fusion too
    "config.json",
    "predictions.npz",
    "mistakes.npz",
    "metrics.json",
    "figures/confusion_matrix.png",
    "figures/reliability.png",
    "report.html",
)
TRAINED = (  # of a training besides
    "history.csv",
    "model.keras",
    "best.keras",
    "figures/loss_curve.png",
    "figures/architecture.png",
)


def run_path(out: Path, name: str) -> Path:
    """The path of a run directory.

    Raises:
        UsageError: the name is not one plain folder name, or marks a run as incomplete.
    """
    if name != Path(name).name or name in ("", "..") or name.endswith(".incomplete"):
        raise UsageError(
            f"--name is {name!r}: it must be one folder name, without '/' or '.incomplete'"
        )
    return out / name


def is_complete(path: Path) -> bool:
    """Whether the path is a complete run directory: one whose config.json has an end."""
    config = path / "config.json"
    return path.suffix != ".incomplete" and config.is_file() and "ended" in read_json(config)


def incomplete(path: Path) -> Path:
    """Where a run is while it isn't complete."""
    return path.with_name(path.name + ".incomplete")


def check_free(path: Path, overwrite: bool = False) -> None:
    """Check that a new run can be made at the path.

    Raises:
        UsageError: something is there already, or its folder can't be written to.
    """
    check_writable(path.parent)
    if path.exists() and not (overwrite and is_complete(path)):
        if is_complete(path):
            raise UsageError(f"{path} exists: name another with --name, or add --overwrite")
        raise UsageError(f"{path} exists and is no complete run: name another with --name")
    if incomplete(path).exists() and not overwrite:
        raise UsageError(
            f"{incomplete(path)} holds a run that stopped early: add --overwrite to start it over, "
            "or name another with --name"
        )


def check_writable(folder: Path) -> None:
    """Check that files can be made in the folder, or the folder itself where there is none.

    Raises:
        UsageError: a file is in the way, or there is no permission.
    """
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise UsageError(f"{there} is a file: name a folder with --out")
    if not os.access(there, os.W_OK):
        raise UsageError(f"{there} can't be written to: name another folder with --out")


@contextlib.contextmanager
def new_run(
    path: Path, overwrite: bool = False, files: Sequence[str] = RESULTS + TRAINED
) -> Iterator[Path]:
    """Make a run: yields the folder to fill, which becomes `path` when the block ends well.

    If it ends in an error, the folder is kept if at least one epoch was finished, and the
    error says so; otherwise nothing is left. With `overwrite` the complete run that was there
    before is removed only when the new one is complete; an incomplete one, at once. A run that
    lacks one of `files` doesn't count as complete. The folder is locked, so two processes never
    fill the same.

    Raises:
        UsageError: see `check_free`.
    """
    check_free(path, overwrite)
    work = incomplete(path)
    work.mkdir(parents=True, exist_ok=True)
    with _locked(work):
        for entry in work.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        try:
            yield work
            missing = [file for file in files if not (work / file).is_file()]
            if missing:
                raise RunError(f"the run lacks {', '.join(missing)}")
            if path.exists():
                if not overwrite:
                    raise UsageError(f"{path} was made meanwhile by another process")
                path.rename(work / "replaced")
            work.rename(path)
        except BaseException as error:
            if any(work.rglob("history.csv")):
                error.add_note(f"the run so far is kept in {work}")
            else:
                shutil.rmtree(work, ignore_errors=True)
            raise
        shutil.rmtree(path / "replaced", ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UsageError(f"{folder} is being filled by another process: wait for it") from error
    finally:
        os.close(handle)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file by `write_text`."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it is there as a whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run directory.

    Raises:
        RunError: it isn't there or isn't a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds no object but {content!r}")
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read ({error}): is it a complete run?") from error
    return content


def now() -> str:
    """The time, for a run's start and end."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
