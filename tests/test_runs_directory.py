import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tfmodels.errors import RunError, UsageError
from tfmodels.runs.directory import (
    LONGEST_NAME,
    RESULTS,
    STATE,
    TRAINED,
    check_free,
    has_state,
    is_complete,
    new_run,
    run_path,
)
from tfmodels.runs.lock import MARKER
from tfmodels.runs.manifest import MANIFEST, check_file, read_manifest

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "open")  # as Python calls them


def fill(folder: Path, text: str = "", files: Sequence[str] = RESULTS + TRAINED) -> None:
    """Write the files of a run, each with its own name and a text."""
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name + text)


def make(path: Path, text: str = "") -> Path:
    """Make a complete run, in place of one that is there."""
    with new_run(path, overwrite=True) as work:
        fill(work, text)
    return path


def stop(path: Path, error: BaseException, *files: str, overwrite: bool = False) -> None:
    """Begin or continue a run, write some files, and raise an error."""
    with new_run(path, overwrite, replace=True) as work:
        for name in files:
            (work / name).write_text("content")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def content(run: Path) -> str:
    """Return what a run was filled with, if it is whole."""
    files = read_manifest(run)
    written = files.keys() - {MARKER}
    assert written in ({*RESULTS, *TRAINED}, {*FEW})
    texts = {check_file(run, files, name).read_text().removeprefix(name) for name in written}
    assert len(texts) == 1
    return texts.pop()


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Path]:
    """A folder of someone else, whose only file must stay as it is."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "notes.txt").write_text("years of work")
    yield folder
    assert names(folder) == ["notes.txt"]
    assert (folder / "notes.txt").read_text() == "years of work"


def test_a_run_appears_under_its_name_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "out" / "run"
    with new_run(path) as work:
        fill(work)
        assert (work / MARKER).is_file()
        assert not path.exists()
        assert not is_complete(work)
    assert is_complete(path)
    assert content(path) == ""
    assert names(path.parent) == ["run"]


def test_a_run_without_all_its_files_does_not_count(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    work = run.__enter__()
    fill(work)
    (work / "model.keras").unlink()
    with pytest.raises(RunError, match="the run lacks model.keras"):
        run.__exit__(None, None, None)
    assert names(tmp_path) == ["run.incomplete"]


def test_an_unfinished_run_is_not_complete_by_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make(tmp_path / "run").rename(tmp_path / "run.incomplete")
    (tmp_path / "link").symlink_to(work)
    assert (work / MANIFEST).exists()
    monkeypatch.chdir(work)
    for name in (".", "../run.incomplete", "../link", "figures/.."):
        assert not is_complete(Path(name))


def test_a_failure_before_there_is_a_state_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"):
        stop(tmp_path / "run", ValueError("no"), "config.json", "history.csv")
    assert names(tmp_path) == []


def test_a_failure_afterwards_keeps_the_run_and_says_how_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert not has_state(path)
    for files in ((STATE, ".part-0-state.npz"), ()):
        with pytest.raises(KeyboardInterrupt) as caught:
            stop(path, KeyboardInterrupt(), *files)
        assert caught.value.__notes__ == [
            f"the run so far is kept in {path}.incomplete",
            "the same command continues it",
        ]
        assert has_state(path)
    check_free(path)
    with new_run(path) as work:
        assert names(work) == [MARKER, STATE]  # parts of files are removed
        assert (work / STATE).read_text() == "content"
        fill(work)
    assert is_complete(path)


def test_overwrite_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        stop(path, KeyboardInterrupt(), STATE)
    with contextlib.suppress(InterruptedError), new_run(path, overwrite=True) as work:
        assert names(work) == [MARKER]
        raise InterruptedError
    assert names(tmp_path) == []
    with pytest.raises(KeyboardInterrupt) as caught:
        stop(path, KeyboardInterrupt(), STATE, overwrite=True)
    assert caught.value.__notes__[1] == "the same command without `overwrite` continues it"


def test_a_complete_run_is_replaced_only_on_request_and_only_by_a_complete_one(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "run", "old")
    with pytest.raises(UsageError, match="choose another `name`, or add `overwrite=True`"):
        check_free(path)
    with pytest.raises(ValueError, match="no"), new_run(path, overwrite=True):
        raise ValueError("no")
    assert content(path) == "old"
    with new_run(path, replace=True) as work:
        fill(work, "new")
        assert content(path) == "old"
    assert content(path) == "new"
    assert names(tmp_path) == ["run"]


def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path, notes: Path) -> None:
    path = tmp_path / "run"
    kinds: dict[str, Callable[[], object]] = {
        "a run": lambda: make(tmp_path / "other").rename(path),
        "a dangling link": lambda: path.symlink_to("nowhere"),
    }
    for number, appear in enumerate(kinds.values()):
        run = new_run(path)
        fill(run.__enter__())
        appear()
        with pytest.raises(UsageError, match="run was put there by another process") as caught:
            run.__exit__(None, None, None)
        assert caught.value.__notes__ == [f"the run so far is kept in {path}.incomplete"]
        path.rename(tmp_path / str(number))
    assert content(tmp_path / "0") == ""
    make(path, "old")
    run = new_run(path, replace=True)
    fill(run.__enter__(), "new")
    path.rename(tmp_path / "moved")
    notes.rename(path)
    with pytest.raises(UsageError, match="exists and is not a complete run"):
        run.__exit__(None, None, None)
    path.rename(notes)


def unread(path: Path) -> tuple[int, ...]:
    """Return what the system knows of a file, but for when it was last read."""
    status = path.lstat()
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@pytest.mark.parametrize("ending", ["", ".incomplete", ".replaced"])
def test_what_is_not_a_run_is_never_written_to_or_removed(
    tmp_path: Path, notes: Path, ending: str
) -> None:
    path, there = tmp_path / "run", tmp_path / f"run{ending}"
    kinds: dict[str, Callable[[], object]] = {
        "a folder": lambda: notes.rename(there),
        "a link": lambda: there.symlink_to(notes),
        "a link to a run": lambda: there.symlink_to(make(tmp_path / "other")),
        "a dangling link": lambda: there.symlink_to(tmp_path / "nowhere"),
        "a file": lambda: there.write_text("of someone else"),
        "a pipe": lambda: os.mkfifo(there),
    }
    for create in kinds.values():
        create()
        before = unread(there)
        for overwrite in (False, True):
            with pytest.raises(UsageError, match="not a (run|folder|complete run)|is a link"):
                check_free(path, replace=overwrite)
            with pytest.raises(UsageError), new_run(path, overwrite):
                pytest.fail("the run began")
        assert unread(there) == before
        there.rename(notes if there.is_dir() and not there.is_symlink() else tmp_path / "done")
    assert not (tmp_path / "nowhere").exists()
    assert content(tmp_path / "other") == ""


@pytest.mark.parametrize("ending", ["", ".incomplete"])
def test_a_run_with_files_of_others_is_never_removed(
    tmp_path: Path, notes: Path, ending: str
) -> None:
    make(tmp_path / "run").rename(tmp_path / f"run{ending}")
    added: dict[str, Callable[[Path], object]] = {
        "my plot.png": lambda path: path.write_text("mine"),
        "figures/zoom.png": lambda path: path.write_text("mine"),
        "tensorboard": lambda path: path.symlink_to(notes),
        "history.csv": lambda path: path.symlink_to(notes / "notes.txt"),
    }
    for name, add in added.items():
        path = tmp_path / f"run{ending}" / name
        path.unlink(missing_ok=True)
        add(path)
        with pytest.raises(UsageError, match=f"holds {name}, which aren't files of a run: move"):
            check_free(tmp_path / "run", replace=True)
        with pytest.raises(UsageError), new_run(tmp_path / "run", overwrite=True):
            pytest.fail("the run began")
        assert os.path.lexists(path)
        path.unlink()


def test_an_error_is_not_hidden_by_files_that_cannot_be_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the first"):
        stop(tmp_path / "run", ValueError("the first"), "my notes.txt")
    assert names(tmp_path / "run.incomplete") == [MARKER, "my notes.txt"]


FEW = ("config.json", STATE, "figures/loss_curve.png")


def make_small(path: Path, text: str) -> Path:
    """Make a complete run of a few files, in place of one that is there."""
    with new_run(path, overwrite=True, files=FEW) as work:
        fill(work, text, FEW)
    return path


def end_before(change: int, path: Path, overwrite: bool) -> None:
    """Write a run, and end the process like SIGKILL before a change of files, counted from 1."""
    changes = iter(range(1, change))

    def count(event: str, arguments: tuple[object, ...]) -> None:
        writes = event != "open" or int(str(arguments[2])) & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)
        if event in CHANGES and writes and next(changes, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    with new_run(path, overwrite, replace=True, files=FEW) as work:
        fill(work, "new", FEW)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_at_any_moment_leaves_the_old_run_or_the_new_one(
    tmp_path: Path, overwrite: bool
) -> None:
    fork = multiprocessing.get_context("fork")
    change, killed, found = 0, True, []
    while killed:
        change += 1
        path = make_small(tmp_path / str(change) / "run", "old")
        with pytest.raises(KeyboardInterrupt):
            stop(path, KeyboardInterrupt(), STATE)
        process = fork.Process(target=end_before, args=(change, path, overwrite))
        process.start()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        killed = process.exitcode != 0
        if is_complete(path):
            found.append(content(path))
        with contextlib.suppress(InterruptedError), new_run(path, replace=True):
            found.append(content(path))
            raise InterruptedError
        make_small(path, "newest")
        assert content(path) == "newest"
        assert names(path.parent) == ["run"]
    assert found == sorted(found, reverse=True)  # first the old one, then the new one
    assert set(found) == {"old", "new"}


def test_a_kill_before_there_is_a_marker_does_not_block_the_run(tmp_path: Path) -> None:
    for files in ((), (f".part-0123456789abcdef-{MARKER}",)):
        work = tmp_path / "run.incomplete"
        work.mkdir()
        for name in files:
            (work / name).touch()
        make(tmp_path / "run")
        assert names(tmp_path) == ["run"]


def test_a_run_that_was_being_removed_does_not_come_back_as_complete(tmp_path: Path) -> None:
    replaced = make(tmp_path / "run").rename(tmp_path / "run.replaced")
    (replaced / MANIFEST).unlink()  # as the first of its files
    with new_run(tmp_path / "run", overwrite=False) as work:
        fill(work, "new")
    assert content(tmp_path / "run") == "new"
    assert names(tmp_path) == ["run"]


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    for path in (tmp_path / "notes.txt" / "run", tmp_path / "notes.txt" / "deeper" / "run"):
        with pytest.raises(UsageError, match="notes.txt is a file"):
            check_free(path)


def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, so the system's answer is replaced, not the folder's mode.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="can't be written to"):
        check_free(tmp_path / "run")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "/abs",
        "a/",
        "a.incomplete",
        "a.replaced",
        "a\nb",
        "\x1b[31m",
        "\udcff",
    ],
)
def test_a_name_is_one_folder_that_can_be_printed(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="`name` is .* must be one folder name") as caught:
        run_path(tmp_path, name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("letter", ["a", "ü"])
def test_the_longest_name_leaves_room_for_all_that_is_added(tmp_path: Path, letter: str) -> None:
    name = letter * (LONGEST_NAME // len(letter.encode()))
    path = make(run_path(tmp_path, name))
    make(path)
    assert is_complete(path)
    with pytest.raises(
        UsageError, match=r"`name` .*\.\.\. has 20\d bytes: it must have at most 200"
    ):
        run_path(tmp_path, name + "ü")


def test_a_lock_is_never_held_twice(tmp_path: Path) -> None:
    code = """
import pathlib, sys
from tfmodels.errors import UsageError
from tfmodels.runs.directory import new_run
path = pathlib.Path(sys.argv[1])
runs = 0
for _ in range(100):
    try:
        with new_run(path / "run", files=()) as work:
            (path / "held").mkdir()  # fails if another process holds the lock
            runs += 1
            (path / "held").rmdir()
            raise InterruptedError
    except (InterruptedError, UsageError):
        pass
print(runs)
"""
    command, pipe = [sys.executable, "-c", code, str(tmp_path)], subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) for _ in range(4)
    ]
    runs, errors = zip(*(process.communicate() for process in processes), strict=True)
    assert errors == ("", "", "", "")
    assert sum(map(int, runs)) > 10
    assert names(tmp_path) == []
