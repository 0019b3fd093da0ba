import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tfmodels.errors import RunError, UsageError
from tfmodels.runs import lock
from tfmodels.runs.directory import new_run
from tfmodels.runs.lock import MARKER, check_held, locked

HERE = socket.gethostname()
AT_ONCE = 5.0  # seconds on a busy machine, far less than it waits for a silent one
HOLD = """
import sys
from pathlib import Path
from tfmodels.errors import RunError
from tfmodels.runs import lock
from tfmodels.runs.directory import new_run
lock.SILENCE = float(sys.argv[2])
with new_run(Path(sys.argv[1]), files=()) as work:
    print("locked", flush=True)
    sys.stdin.readline()
    try:
        lock.check_held(work)
    except RunError as error:
        print(error, flush=True)
"""
Hold = Callable[[Path, float], "subprocess.Popen[str]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """A function that starts a process which holds the lock of a run until a line comes in."""
    processes: list[subprocess.Popen[str]] = []

    def start(path: Path, silence: float) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", HOLD, str(path), str(silence)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
        processes.append(process)
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def leave_lock(
    path: Path, silent: float, pid: int = 4242, host: str = "cluster7", **fields: object
) -> None:
    """Write the lock of another process that gave no sign of life for so many seconds."""
    fields = {"mode": "lease", "token": "0a", "duration": lock.SILENCE, **fields}
    lines = ["filelock/2", f"pid={pid}", f"host={host}"]
    lines += [f"{name}={value}" for name, value in fields.items()]
    lock_file(path).unlink(missing_ok=True)
    lock_file(path).write_text("".join(f"{line}\n" for line in lines))
    since = time.time() - silent
    os.utime(lock_file(path), (since, since))


def assert_refused(path: Path, message: str) -> None:
    begun = time.monotonic()
    with pytest.raises(UsageError, match=message), locked(path):
        pytest.fail("it was locked twice")
    assert time.monotonic() - begun < AT_ONCE


def assert_taken(path: Path) -> None:
    """Check that a lock is there for the taking, and gone afterwards."""
    begun = time.monotonic()
    with locked(path):
        check_held(path)
    assert time.monotonic() - begun < AT_ONCE
    assert not os.path.lexists(lock_file(path))


def test_a_lock_is_gone_afterwards_also_after_an_error(tmp_path: Path) -> None:
    assert_taken(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "run"):
        raise KeyboardInterrupt
    assert_taken(tmp_path / "run")


def test_the_process_that_has_the_lock_is_named(tmp_path: Path, hold: Hold) -> None:
    owner = hold(tmp_path / "run", lock.SILENCE)
    since = r"since \d{4}-\d\d-\d\d \d\d:\d\d: wait for it, or choose another `name`"
    named = f"run is being trained by process {owner.pid} on {HERE} {since}"
    assert_refused(tmp_path / "run", named)
    assert_taken(tmp_path / "other")


def test_this_process_is_named_as_well(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        assert_refused(tmp_path / "run", f"by process {os.getpid()} on {HERE}: wait for it")
        check_held(tmp_path / "run")


def test_the_lock_of_a_dead_process_is_taken_over_at_once(
    tmp_path: Path, hold: Hold, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = hold(tmp_path / "run", lock.SILENCE)
    owner.kill()
    owner.wait()
    assert lock_file(tmp_path / "run").exists()
    assert_taken(tmp_path / "run")
    assert capsys.readouterr().err == ""


def test_a_process_that_has_the_number_of_a_dead_one_does_not_count(tmp_path: Path) -> None:
    with locked(tmp_path / "other"):
        content = lock_file(tmp_path / "other").read_text()
    host = content.split("host=")[1].split("\n")[0]
    leave_lock(tmp_path / "run", silent=0, pid=os.getppid(), host=host, start=1)
    assert_taken(tmp_path / "run")


def test_a_machine_whose_clock_is_slow_keeps_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "SILENCE", 0.8)
    leave_lock(tmp_path / "run", silent=1000)
    done = threading.Event()

    def live() -> None:
        since = time.time() - 1000
        while not done.wait(0.05):
            since += 0.05
            os.utime(lock_file(tmp_path / "run"), (since, since))

    thread = threading.Thread(target=live)
    thread.start()
    try:
        assert_refused(tmp_path / "run", "process 4242 on cluster7")
    finally:
        done.set()
        thread.join()
    waiting = f"waiting for process 4242 on cluster7, which locked {tmp_path / 'run'}\n"
    assert capsys.readouterr().err == waiting


def test_the_lock_of_a_machine_that_is_silent_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "SILENCE", 0.3)
    leave_lock(tmp_path / "run", silent=0)
    begun = time.monotonic()
    assert_taken(tmp_path / "run")
    assert time.monotonic() - begun >= 0.3
    assert capsys.readouterr().err.startswith("waiting for process 4242 on cluster7")


def test_a_process_that_lost_its_lock_does_not_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with locked(path):
        check_held(tmp_path / "run.incomplete")
        leave_lock(path, silent=0)
        with pytest.raises(RunError, match="this process was suspended, and .* 4242 on cluster7"):
            check_held(tmp_path / "run.incomplete")
    assert "cluster7" in lock_file(path).read_text()  # it isn't ours to remove
    check_held(tmp_path / "never locked")


def test_a_run_of_another_process_is_neither_finished_nor_removed(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", files=())
    work = run.__enter__()
    leave_lock(tmp_path / "run", silent=0)
    with pytest.raises(RunError, match="this process was suspended"):
        run.__exit__(None, None, None)
    assert (work / MARKER).exists()
    assert not (tmp_path / "run").exists()


def test_a_suspended_process_is_superseded_and_finds_out(tmp_path: Path, hold: Hold) -> None:
    owner = hold(tmp_path / "run", 0.3)
    owner.send_signal(signal.SIGSTOP)
    time.sleep(0.4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "SILENCE", 0.3)
        with locked(tmp_path / "run"):
            owner.send_signal(signal.SIGCONT)
            told, _ = owner.communicate("\n")
            check_held(tmp_path / "run")
    assert told.startswith("this process was suspended, and ")
    assert f"run is being trained by process {os.getpid()} on {HERE}" in told


def test_an_empty_lock_does_not_stay(tmp_path: Path) -> None:
    lock_file(tmp_path / "run").touch()
    assert_refused(tmp_path / "run", "run is being trained by another process")
    os.utime(lock_file(tmp_path / "run"), (0, 0))  # its process was killed before it wrote
    assert_taken(tmp_path / "run")


def test_a_lock_with_another_time_is_respected(tmp_path: Path) -> None:
    leave_lock(tmp_path / "run", silent=1000, duration=77.0)
    assert_refused(tmp_path / "run", "process 4242 on cluster7")


def test_what_is_no_lock_is_replaced_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("filelock._soft.MALFORMED_LOCK_AGE_THRESHOLD", 0.1)
    (tmp_path / "notes.txt").write_text("of someone else")
    file = lock_file(tmp_path / "run")
    kinds: tuple[Callable[[], object], ...] = (
        lambda: file.symlink_to(tmp_path / "nowhere"),
        lambda: file.symlink_to(tmp_path / "notes.txt"),
        lambda: file.write_text("nonsense\n"),
        lambda: os.mkfifo(file),
    )
    for create in kinds:
        create()
        os.utime(file, (0, 0), follow_symlinks=False)
        assert_taken(tmp_path / "run")
    assert (tmp_path / "notes.txt").read_text() == "of someone else"
    assert not (tmp_path / "nowhere").exists()
