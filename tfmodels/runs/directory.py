"""The run directory: where a run's files go, who may write them, and when it counts as complete.

A run is written to `<path>.incomplete`, which is renamed to `<path>` as the last act, once its
manifest is there. So a directory without that ending is complete, even after a crash.
"""

import contextlib
import datetime
import fnmatch
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfmodels.errors import RunError, UsageError, first_names
from tfmodels.runs.lock import MARKER, check_held, locked
from tfmodels.runs.manifest import MANIFEST, write_manifest
from tfmodels.safe_files import PART, flush_folder, write_text

RESULTS = (  # of every run, a fusion too
    "config.json",
    "predictions.npz",
    "mistakes.npz",
    "metrics.json",
    "figures/confusion_matrix.png",
    "figures/reliability.png",
    "report.html",
)
STATE = "state.npz"  # of a training, from which it continues
TRAINED = (  # of a trained network besides
    "history.csv",
    "model.keras",
    "best.keras",
    STATE,
    "sample.npz",
    "grad_cam.npz",
    "figures/loss_curve.png",
    "figures/architecture.png",
)
_OURS = (  # files that a run may hold; a folder with others isn't deleted
    *(*RESULTS, *TRAINED, MANIFEST, MARKER, "fusion.json"),
    *("head/history.csv", "head/model.keras", "head/best.keras"),
    *("tensorboard/*/events.out.tfevents.*", "head/tensorboard/*/events.out.tfevents.*"),
    *(f"{PART}*", f"*/{PART}*"),
)
LONGEST_NAME = 200  # bytes of a name, so that endings can be added to it


def run_path(out: Path, name: str) -> Path:
    """Return the path of the run directory `name` in the folder `out`.

    Raises:
        UsageError: the name is not one plain folder name, or marks a run as incomplete.
    """
    plain = name == Path(name).name and name not in ("", "..") and name.isprintable()
    if not plain or name.endswith((".incomplete", ".replaced")):
        raise UsageError(
            f"`name` is {name!r}: it must be one folder name, without '/', '.incomplete' or "
            "control characters"
        )
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise UsageError(
            f"`name` {name[:20]}... has {len(os.fsencode(name))} bytes: it must have at most "
            f"{LONGEST_NAME}"
        )
    return out / name


def without_seed(name: str) -> str:
    """Return the name of a run, or of a fusion's member, without its seed: what it is a run of."""
    return re.sub(r"_seed\d+", "", name)


def is_complete(path: Path) -> bool:
    """Return whether the path is a complete run directory: it was renamed and has a manifest."""
    finished = path.resolve().suffix != ".incomplete"  # also where it is called "."
    return finished and (path / MANIFEST).is_file()


def incomplete(path: Path) -> Path:
    """Return the folder in which a run is written until it is complete."""
    return path.with_name(path.name + ".incomplete")


def has_state(path: Path) -> bool:
    """Return whether a training was interrupted at the path, and can be continued."""
    return (incomplete(path) / STATE).is_file()


def check_free(path: Path, replace: bool = False) -> None:
    """Check that a run can be written to the path.

    Args:
        path: of the run.
        replace: whether a complete run there may be replaced.

    Raises:
        UsageError: a run is there that may not be replaced, or something that isn't a run, or
            the folder can't be written to.
    """
    check_writable(path.parent)
    if os.path.lexists(path):
        if not is_complete(path) or path.is_symlink():
            fault = "is a link" if path.is_symlink() else "exists and is not a complete run"
            raise UsageError(f"{path} {fault}: choose another `name`")
        if not replace:
            raise UsageError(f"{path} exists: choose another `name`, or add `overwrite=True`")
        _check_ours(path)
    for folder in (incomplete(path), _replaced(path)):
        if os.path.lexists(folder):
            _check_ours(folder)


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
    path: Path,
    overwrite: bool = False,
    replace: bool = False,
    files: Sequence[str] = RESULTS + TRAINED,
) -> Iterator[Path]:
    """Yield the folder to write a run to; it becomes `path` when the block succeeds.

    What an interrupted run left there is there still, unless `overwrite` is set. If the block
    fails, the folder is kept if it holds the state of a training; otherwise nothing is left. A
    lock keeps two processes from writing the same run.

    Args:
        path: of the run.
        overwrite: start over: remove what an interrupted run left, and replace a complete run
            at the path once the new one is complete.
        replace: replace a complete run at the path, as `overwrite` does.
        files: without these the run isn't complete.

    Raises:
        UsageError: see `check_free` and `locked`.
        RunError: one of the files is missing, or another process took the run over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        _recover(path)
        check_free(path, overwrite or replace)
        work, replaces = incomplete(path), path.exists()
        if overwrite or not has_state(path):
            _remove(work)
        _begin(work)
        try:
            yield work
            _finish(work, path, replaces, files)
        except BaseException as error:
            if has_state(path):
                error.add_note(f"the run so far is kept in {work}")
                if not isinstance(error, RunError):  # it says what to do
                    without = " without `overwrite`" if overwrite else ""
                    error.add_note(f"the same command{without} continues it")
            else:
                with contextlib.suppress(OSError, RunError):  # the first error matters more
                    check_held(work)
                    _remove(work)
            raise


def _begin(work: Path) -> None:
    work.mkdir(exist_ok=True)
    for part in work.rglob(f"{PART}*"):
        part.unlink()
    write_text(work / MARKER, f"A run of tfmodels, begun or continued {now()}.\n")


def _finish(work: Path, path: Path, replaces: bool, files: Sequence[str]) -> None:
    check_held(work)
    missing = [file for file in files if not (work / file).is_file()]
    if missing:
        raise RunError(f"the run lacks {', '.join(missing)}")
    write_manifest(work)
    replaced = _replaced(path)
    if os.path.lexists(path):
        if not replaces:
            raise UsageError(f"{path} was put there by another process in the meantime")
        check_free(path, replace=True)  # it may be another thing by now
        path.rename(replaced)
    work.rename(path)
    flush_folder(path.parent)
    _remove(replaced)


def _replaced(path: Path) -> Path:
    return path.with_name(path.name + ".replaced")


def _recover(path: Path) -> None:
    """Put back a run that was about to be replaced when the process ended, or finish with it."""
    replaced = _replaced(path)
    if is_complete(path) or not is_complete(replaced):
        _remove(replaced)
    elif not os.path.lexists(path):
        _check_ours(replaced)
        replaced.rename(path)


def _check_ours(folder: Path) -> None:
    """Check that a folder may be written to and removed: it is a run, and holds nothing else.

    Raises:
        UsageError: it is a link, isn't of a run, or holds files that aren't.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{folder} is in the way and not a folder: choose another `name`")
    found = [name for name in _walk(folder) if not fnmatch.fnmatch(name, f"{PART}*{MARKER}")]
    if found and not (folder / MARKER).is_file():
        raise UsageError(f"{folder} is in the way and not a run: choose another `name`")
    others = [
        name
        for name in found
        if (folder / name).is_symlink() or not any(fnmatch.fnmatch(name, ours) for ours in _OURS)
    ]
    if others:
        raise UsageError(
            f"{folder} holds {first_names(others)}, which aren't files of a run: move them away, "
            "or choose another `name`"
        )


def _walk(folder: Path) -> Iterator[str]:
    """Yield the paths of all files and links in a folder, relative to it."""
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in sorted(links + files):
            yield (Path(where) / name).relative_to(folder).as_posix()


def _remove(folder: Path) -> None:
    """Remove a run, if there is one.

    Its manifest and state go first, so that what is left is neither complete nor continued, and its
    marker last, so that it is known as a run.
    """
    if not os.path.lexists(folder):
        return
    _check_ours(folder)
    for name in (MANIFEST, STATE):
        (folder / name).unlink(missing_ok=True)
    for entry in folder.iterdir():
        if entry.name != MARKER:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.rmtree(folder)


def now() -> str:
    """Return the current time, for the start and end of a run."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
