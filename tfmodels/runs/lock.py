"""Locks of run directories, also on disks that several machines share."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tfmodels.errors import RunError, UsageError

if TYPE_CHECKING:  # takes a third of the time of `--help`
    import filelock

SILENCE = 30.0  # seconds without a sign of life, after which the process of a lock counts as dead
MARKER = ".tfmodels"  # in every folder that runs are written to; no other is ever deleted
_HELD: "dict[Path, filelock.SoftFileLease]" = {}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a run, a hidden file beside it that is removed afterwards.

    It is taken over from a process that is known to be dead, and from one of another machine that
    gives no sign of life for half a minute.

    Raises:
        UsageError: another process holds it; the message names it.
    """
    import filelock

    lock = filelock.SoftFileLease(
        path.with_name(f".{path.name}.lock"), lease_duration=SILENCE, thread_local=False
    )
    try:
        _acquire(lock, path)
    except (filelock.Timeout, filelock.LeaseSettingsMismatch) as error:
        raise UsageError(_describe(lock, path)) from error
    _HELD[path.absolute()] = lock
    try:
        yield
    finally:
        del _HELD[path.absolute()]
        lock.release()


def check_held(work: Path) -> None:
    """Check that the lock of a run is still ours, before something is written to its folder.

    Raises:
        RunError: this process was suspended for so long that another took the run over.
    """
    path = work.absolute().with_name(work.name.removesuffix(".incomplete"))
    lock = _HELD.get(path)
    # Without an owner the file can't be read, as when a network's disk has a hiccup.
    if lock is not None and lock.owner is not None and not lock.is_lock_held_by_us:
        raise RunError(f"this process was suspended, and {_describe(lock, path)}")


def _acquire(lock: "filelock.SoftFileLease", path: Path) -> None:
    import filelock

    try:
        lock.acquire(timeout=0)
        return
    except filelock.Timeout:
        try:
            marker = os.lstat(lock.lock_file)
        except FileNotFoundError:  # it was released in between
            lock.acquire(timeout=0)
            return
        owner = lock.owner
        elsewhere = owner is not None and owner.hostname.split("?")[0] != socket.gethostname()
        # Whether a process of another machine is alive only waiting shows: clocks may differ.
        if not elsewhere and time.time() - marker.st_mtime < SILENCE:
            raise
    if not marker.st_size:  # of a process that was killed at that moment; filelock respects it
        lock.force_break()
    else:
        print(f"waiting for {_owner(lock)}, which locked {path}", file=sys.stderr)
    lock.acquire(timeout=1.5 * SILENCE)


def _owner(lock: "filelock.SoftFileLease") -> str:
    owner = lock.owner
    if owner is None:
        return "another process"
    return f"process {owner.pid} on {owner.hostname.split('?')[0]}"  # then its namespace


def _describe(lock: "filelock.SoftFileLease", path: Path) -> str:
    since = ""
    with contextlib.suppress(OSError):
        begun = os.stat(path.with_name(f"{path.name}.incomplete") / MARKER).st_mtime
        since = f" since {time.strftime('%Y-%m-%d %H:%M', time.localtime(begun))}"
    return (
        f"{path} is being trained by {_owner(lock)}{since}: wait for it, or choose another `name`"
    )
