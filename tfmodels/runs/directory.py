"""The run directory: where a run's files go, and when it counts as complete.

A run is written to `<path>.incomplete`, which is renamed to `<path>` at the very end, so a
directory without that ending is complete, even after a crash.
"""

import contextlib
import datetime
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
TRAINED = (  # of a trained network besides
    "history.csv",
    "model.keras",
    "best.keras",
    "figures/loss_curve.png",
    "figures/architecture.png",
)


def run_path(out: Path, name: str) -> Path:
    """Return the path of the run directory `name` in the folder `out`.

    Raises:
        UsageError: the name is not one plain folder name, or marks a run as incomplete.
    """
    if name != Path(name).name or name in ("", "..") or name.endswith(".incomplete"):
        raise UsageError(
            f"`name` is {name!r}: it must be one folder name, without '/' or '.incomplete'"
        )
    return out / name


def is_complete(path: Path) -> bool:
    """Return whether the path is a complete run directory: its config.json has an end time.

    Raises:
        RunError: its config.json can't be read.
    """
    config = path / "config.json"
    return path.suffix != ".incomplete" and config.is_file() and "ended" in read_json(config)


def incomplete(path: Path) -> Path:
    """Return the folder in which a run is written until it is complete."""
    return path.with_name(path.name + ".incomplete")


def check_free(path: Path, overwrite: bool = False) -> None:
    """Check that a new run can be written to the path.

    Raises:
        UsageError: something is there already, or its folder can't be written to.
    """
    check_writable(path.parent)
    if path.exists() and not (overwrite and is_complete(path)):
        if is_complete(path):
            raise UsageError(f"{path} exists: choose another `name`, or add `overwrite=True`")
        raise UsageError(f"{path} exists and is not a complete run: choose another `name`")
    if incomplete(path).exists() and not overwrite:
        with _locked(path):  # a run in progress is not to be overwritten
            pass
        raise UsageError(
            f"{incomplete(path)} holds a run that stopped early: add `overwrite=True` to start it "
            "over, or choose another `name`"
        )


def check_writable(folder: Path) -> None:
    """Check that files can be created in the folder, which need not exist yet.

    Raises:
        UsageError: a file is in the way, or there is no permission.
    """
    folder = folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise UsageError(f"{existing} is a file: choose a folder as `out`")
    if not os.access(existing, os.W_OK):
        raise UsageError(f"{existing} can't be written to: choose another folder as `out`")


@contextlib.contextmanager
def new_run(
    path: Path, overwrite: bool = False, files: Sequence[str] = RESULTS + TRAINED
) -> Iterator[Path]:
    """Yield the folder to write a run to; it becomes `path` when the block succeeds.

    If the block fails, the folder is kept if at least one epoch was finished, and the error
    says so; otherwise nothing is left. With `overwrite` a complete run at the path is removed
    only when the new one is complete; an incomplete one, at once. A run that lacks one of
    `files` is not complete. A lock keeps two processes from writing the same run.

    Raises:
        UsageError: see `check_free`.
    """
    check_free(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        work = incomplete(path)
        work.mkdir(exist_ok=True)
        for entry in work.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        try:
            yield work
            _finish(work, path, overwrite, files)
        except BaseException as error:
            if any(work.rglob("history.csv")):
                error.add_note(f"the run so far is kept in {work}")
            else:
                shutil.rmtree(work, ignore_errors=True)
            raise
        shutil.rmtree(path / "replaced", ignore_errors=True)


def _finish(work: Path, path: Path, overwrite: bool, files: Sequence[str]) -> None:
    missing = [file for file in files if not (work / file).is_file()]
    if missing:
        raise RunError(f"the run lacks {', '.join(missing)}")
    if path.exists():
        if not overwrite:
            raise UsageError(f"{path} was written by another process in the meantime")
        path.rename(work / "replaced")
    work.rename(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory, in a hidden file beside it that is removed afterwards."""
    import filelock  # takes a third of the time of `--help`

    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise UsageError(
            f"{incomplete(path)} is being written by another process: wait for it, or choose "
            "another `name`"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows refuses; there, releasing removes it
            os.unlink(lock.lock_file)
        lock.release()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, as a whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, as a whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file of a run directory.

    Raises:
        RunError: it is missing or isn't a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds no object but {content!r}")
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read ({error}): is the run complete?") from error
    return content


def now() -> str:
    """Return the current time, for the start and end of a run."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
