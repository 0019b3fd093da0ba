import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tfmodels.errors import RunError, UsageError
from tfmodels.runs import directory


def fill(folder: Path) -> None:
    for name in directory.RESULTS + directory.TRAINED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text('{"ended": "now"}')


def fail(path: Path, error: BaseException, *files: str) -> None:
    """Begin a run, write some files, and raise an error."""
    with directory.new_run(path) as work:
        for name in files:
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_text("content")
        raise error


def test_a_run_appears_under_its_name_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "out" / "run"
    with directory.new_run(path) as work:
        fill(work)
        assert not path.exists()
        assert not directory.is_complete(work)
    assert directory.is_complete(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["run"]


def test_a_run_without_all_its_files_does_not_count(tmp_path: Path) -> None:
    run = directory.new_run(tmp_path / "run")
    work = run.__enter__()
    fill(work)
    (work / "model.keras").unlink()
    with pytest.raises(RunError, match="the run lacks model.keras"):
        run.__exit__(None, None, None)
    assert not (tmp_path / "run").exists()


def test_a_failure_before_the_first_epoch_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"):
        fail(tmp_path / "run", ValueError("no"), "config.json")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_after_an_epoch_keeps_the_run_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        fail(tmp_path / "run", KeyboardInterrupt(), "history.csv")
    kept = tmp_path / "run.incomplete"
    assert caught.value.__notes__ == [f"the run so far is kept in {kept}"]
    assert (kept / "history.csv").exists()
    with pytest.raises(UsageError, match="stopped early: add `overwrite=True`"):
        directory.check_free(tmp_path / "run")


def test_a_complete_run_is_replaced_only_on_request_and_only_by_a_complete_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run"
    with directory.new_run(path) as work:
        fill(work)
    with pytest.raises(UsageError, match="choose another `name`, or add `overwrite=True`"):
        directory.check_free(path)
    with pytest.raises(ValueError, match="stop"), directory.new_run(path, overwrite=True):
        raise ValueError("stop")
    assert directory.read_json(path / "config.json") == {"ended": "now"}
    with directory.new_run(path, overwrite=True) as work:
        fill(work)
        (work / "config.json").write_text('{"ended": "later"}')
    assert directory.read_json(path / "config.json") == {"ended": "later"}
    assert not (path / "replaced").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_two_processes_never_write_the_same_run(tmp_path: Path) -> None:
    with directory.new_run(tmp_path / "run") as work:
        (work / "history.csv").write_text("epoch\n1\n")
        with (
            pytest.raises(UsageError, match="by another process"),
            directory.new_run(tmp_path / "run", overwrite=True),
        ):
            pass
        assert (work / "history.csv").exists()
        fill(work)
    other = directory.new_run(tmp_path / "other")
    fill(other.__enter__())
    (tmp_path / "run").rename(tmp_path / "other")
    with pytest.raises(UsageError, match="in the meantime"):
        other.__exit__(None, None, None)


def test_a_run_that_stopped_early_is_started_over_on_request(tmp_path: Path) -> None:
    (tmp_path / "run.incomplete" / "figures").mkdir(parents=True)
    (tmp_path / "run.incomplete" / "history.csv").write_text("epoch\n1\n")
    with directory.new_run(tmp_path / "run", overwrite=True) as work:
        assert list(work.iterdir()) == []
        fill(work)
    assert directory.is_complete(tmp_path / "run")


def test_overwrite_never_removes_what_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not a complete run"):
        directory.check_free(tmp_path / "thesis", overwrite=True)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    for path in (tmp_path / "notes.txt" / "run", tmp_path / "notes.txt" / "deeper" / "run"):
        with pytest.raises(UsageError, match="notes.txt is a file"):
            directory.check_free(path)


def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, so the system's answer is replaced, not the folder's mode.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="can't be written to"):
        directory.check_free(tmp_path / "run")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/abs", "a/", "a.incomplete"])
def test_a_name_is_one_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="`name` is"):
        directory.run_path(tmp_path, name)


def test_a_broken_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"val": ')
    with pytest.raises(RunError, match="metrics.json can't be read"):
        directory.read_json(tmp_path / "metrics.json")
    (tmp_path / "config.json").write_text("5")
    with pytest.raises(RunError, match=r"config.json can't be read \(it holds no object but 5\)"):
        directory.read_json(tmp_path / "config.json")


def test_a_failed_write_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(IsADirectoryError):
        directory.write_text(tmp_path / "report.html", "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_finished_head_is_kept_when_the_rest_is_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        fail(tmp_path / "run", KeyboardInterrupt(), "head/history.csv")
    assert (tmp_path / "run.incomplete" / "head" / "history.csv").exists()
    assert "kept in" in caught.value.__notes__[0]


def test_a_run_in_progress_is_not_called_stopped(tmp_path: Path) -> None:
    with directory.new_run(tmp_path / "run") as work:
        with pytest.raises(UsageError, match="is being written by another process"):
            directory.check_free(tmp_path / "run")
        fill(work)


def test_a_process_that_was_killed_does_not_lock_its_run(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from tfmodels.runs.directory import new_run\n"
        "with new_run(pathlib.Path(sys.argv[1])) as work: os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False)
    assert killed.returncode == -9
    with directory.new_run(tmp_path / "run", overwrite=True) as work:
        fill(work)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_a_lock_is_never_held_twice(tmp_path: Path) -> None:
    code = """
import pathlib, sys, time
from tfmodels.errors import UsageError
from tfmodels.runs.directory import new_run
path = pathlib.Path(sys.argv[1])
end, runs = time.monotonic() + 3, 0
while time.monotonic() < end:
    try:
        with new_run(path / "run", files=()) as work:
            (path / "held").mkdir()  # fails if another process holds the lock
            runs += 1
            (path / "held").rmdir()
            raise InterruptedError
    except (InterruptedError, UsageError):
        pass
assert runs
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert errors == 4 * [""]
    assert list(tmp_path.iterdir()) == []
