"""Whether a training can go on: from where it was interrupted, or beyond where it ended."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfmodels.config import SOURCES
from tfmodels.errors import UsageError
from tfmodels.runs.contents import Run, open_run, open_unfinished
from tfmodels.runs.directory import (
    STATE,
    check_free,
    check_writable,
    has_state,
    incomplete,
    is_complete,
)
from tfmodels.runs.formats import RunConfig
from tfmodels.runs.lock import locked
from tfmodels.safe_files import new_file

DECIDING = ("keras", "tensorflow", "jax", "torch", "numpy", "tfmodels")  # of results, by version
# Settings that may be others: data and initial weights are compared by their content.
NOT_COMPARED = (*SOURCES, "data", "weights", "epochs")
EXTENDED = ("history.csv", "model.keras", "best.keras", "tensorboard")


def previous_run(path: Path, overwrite: bool) -> Run | None:
    """Return the run that a training at this path goes on with; None if it begins one.

    Raises:
        UsageError: see `check_free`.
        RunError: the run's files are damaged.
    """
    if overwrite or not (has_state(path) or is_complete(path)):
        check_free(path, replace=overwrite)
        return None
    check_free(path, replace=True)
    return open_unfinished(incomplete(path)) if has_state(path) else open_run(path)


def check_settings(path: Path, settings: dict[str, Any], overwrite: bool) -> None:
    """Check that a training with these settings can begin or go on at the path.

    It is a first look, before anything is loaded; `check_same` is the second.

    Raises:
        UsageError: it can't; the message names what differs.
        RunError: the files of an earlier run are damaged.
    """
    check_writable(path.parent)
    if incomplete(path).exists():
        with locked(path):  # another process may be at it
            pass
    previous = previous_run(path, overwrite)
    if previous is not None:
        _refuse(previous, settings, [*_changed_settings(previous.config, settings)])


def check_same(previous: Run, description: dict[str, Any]) -> None:
    """Check that a training goes on as it began: settings, data, network and versions.

    Args:
        previous: the run so far.
        description: what config.json would hold if it began now.

    Raises:
        UsageError: something differs; the message names each difference.
    """
    before, after = previous.config, json.loads(json.dumps(description))
    changed = [*_changed_settings(before, after["settings"])]
    for part in ("dataset", "model"):
        changed += _changed(before.get(part), after[part])
    changed += _changed({"backend": before.get("backend")}, after)
    versions = {key: version for key, version in before["versions"].items() if key in DECIDING}
    changed += _changed(versions, after["versions"])
    _refuse(previous, after["settings"], changed)


def begin_extension(run: Run, work: Path) -> None:
    """Copy what a training goes on from out of a complete run, the state last."""
    names = [name for name in run.checksums or () if name.split("/")[0] in EXTENDED]
    for name in (*names, STATE):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        with new_file(work / name) as part:
            shutil.copyfile(run.file(name), part)


def _changed_settings(before: RunConfig, settings: dict[str, Any]) -> Iterator[str]:
    for key in before["settings"] | settings:
        value = before["settings"].get(key)
        if key not in NOT_COMPARED and value != settings.get(key):
            yield f"`{key}={value}`, not {settings.get(key)}"


def _changed(before: Any, after: dict[str, Any]) -> Iterator[str]:
    """Yield what differs, each as "what it was, not what it is"."""
    for key, value in json.loads(json.dumps(before or {})).items():
        other = after.get(key)
        if value != other:
            yield f"{key.replace('_', ' ')} {_show(value, other)}, not {_show(other, value)}"


def _show(value: Any, other: Any) -> str:
    """Return a value for a message; of class names, those that the other value doesn't have."""
    if isinstance(value, list) and isinstance(other, list):
        value = [name for name in value if isinstance(name, str) and name not in other] or value
    return str(value)[:60]


def _refuse(previous: Run, settings: dict[str, Any], changed: list[str]) -> None:
    """Raise an error that names what changed, or why the epochs can't be others."""
    otherwise = "choose another `name`, or add `overwrite=True` to start over"
    if changed:
        raise UsageError(f"{previous.path} was made with {'; '.join(changed)}: {otherwise}")
    before, epochs = previous.config["settings"].get("epochs"), settings["epochs"]
    if epochs != before:
        fault = _extension_fault(before, settings)
        if fault:
            raise UsageError(
                f"{previous.path} was made with `epochs={before}`, not {epochs}, and {fault}: "
                f"{otherwise}"
            )
    elif previous.checksums is not None:
        raise UsageError(f"{previous.path} is complete: {otherwise}")


def _extension_fault(before: Any, settings: dict[str, Any]) -> str:
    """Return why a run of other epochs can't go on to those of the settings; empty if it can."""
    if not isinstance(before, int) or settings["epochs"] < before:
        return "can't be shortened"
    if settings["schedule"] in ("linear", "cosine"):
        return f"`schedule={settings['schedule']}` depends on them from the first one on"
    if settings["trainable"] == "head-then-all":
        return "`trainable=head-then-all` would have trained the head for longer, too"
    return ""
