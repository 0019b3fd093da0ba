import pytest

from tfmodels import runs
from tfmodels.errors import RunError, UsageError


def fill(folder):
    for name in runs.RESULTS + runs.TRAINED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text('{"ended": "now"}')


def test_a_run_appears_under_its_name_only_when_complete(tmp_path):
    path = tmp_path / "out" / "run"
    with runs.new_run(path) as work:
        fill(work)
        assert not path.exists()
        assert not runs.is_complete(work)
    assert runs.is_complete(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["run"]


def test_a_run_without_all_its_files_does_not_count(tmp_path):
    with pytest.raises(RunError, match="lacks model.keras"), runs.new_run(tmp_path / "run") as work:
        fill(work)
        (work / "model.keras").unlink()
    assert not (tmp_path / "run").exists()


def test_a_failure_before_the_first_epoch_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="no"), runs.new_run(tmp_path / "run") as work:
        (work / "config.json").write_text("{}")
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_after_an_epoch_keeps_the_run_and_says_so(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught, runs.new_run(tmp_path / "run") as work:
        (work / "history.csv").write_text("epoch\n1\n")
        raise KeyboardInterrupt
    kept = tmp_path / "run.incomplete"
    assert caught.value.__notes__ == [f"the run so far is kept in {kept}"]
    assert (kept / "history.csv").exists()
    with pytest.raises(UsageError, match="stopped early"):
        runs.check_free(tmp_path / "run")


def test_a_complete_run_is_replaced_only_on_request_and_only_by_a_complete_one(tmp_path):
    path = tmp_path / "run"
    with runs.new_run(path) as work:
        fill(work)
    with pytest.raises(UsageError, match="--overwrite"):
        runs.check_free(path)
    with pytest.raises(ValueError, match="stop"), runs.new_run(path, overwrite=True):
        raise ValueError("stop")
    assert runs.read_json(path / "config.json") == {"ended": "now"}
    with runs.new_run(path, overwrite=True) as work:
        fill(work)
        (work / "config.json").write_text('{"ended": "later"}')
    assert runs.read_json(path / "config.json") == {"ended": "later"}
    assert not (path / "replaced").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_two_processes_never_fill_the_same_run(tmp_path):
    with runs.new_run(tmp_path / "run") as work:
        (work / "history.csv").write_text("epoch\n1\n")
        with (
            pytest.raises(UsageError, match="by another process"),
            runs.new_run(tmp_path / "run", overwrite=True),
        ):
            pass
        assert (work / "history.csv").exists()
        fill(work)
    with (
        pytest.raises(UsageError, match="meanwhile"),
        runs.new_run(tmp_path / "other") as work,
    ):
        fill(work)
        (tmp_path / "run").rename(tmp_path / "other")


def test_a_run_that_stopped_early_is_started_over_on_request(tmp_path):
    (tmp_path / "run.incomplete" / "figures").mkdir(parents=True)
    (tmp_path / "run.incomplete" / "history.csv").write_text("epoch\n1\n")
    with runs.new_run(tmp_path / "run", overwrite=True) as work:
        assert list(work.iterdir()) == []
        fill(work)
    assert runs.is_complete(tmp_path / "run")


def test_overwrite_never_removes_what_is_no_run(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(UsageError, match="no complete run"):
        runs.check_free(tmp_path / "thesis", overwrite=True)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    for path in (tmp_path / "notes.txt" / "run", tmp_path / "notes.txt" / "deeper" / "run"):
        with pytest.raises(UsageError, match="notes.txt is a file"):
            runs.check_free(path)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    # Root may write anywhere, so the system's answer is replaced, not the folder's mode.
    monkeypatch.setattr(runs.os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="can't be written to"):
        runs.check_free(tmp_path / "run")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/abs", "a/", "a.incomplete"])
def test_a_name_is_one_folder(tmp_path, name):
    with pytest.raises(UsageError, match="--name"):
        runs.run_path(tmp_path, name)


def test_a_broken_json_file_is_named(tmp_path):
    (tmp_path / "metrics.json").write_text('{"val": ')
    with pytest.raises(RunError, match="metrics.json can't be read"):
        runs.read_json(tmp_path / "metrics.json")
    (tmp_path / "config.json").write_text("5")
    with pytest.raises(RunError, match=r"config.json can't be read \(it holds no object but 5\)"):
        runs.read_json(tmp_path / "config.json")


def test_a_failed_write_leaves_no_part(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(IsADirectoryError):
        runs.write_text(tmp_path / "report.html", "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_finished_head_is_kept_when_the_rest_is_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught, runs.new_run(tmp_path / "run") as work:
        (work / "head").mkdir()
        (work / "head" / "history.csv").write_text("epoch\n1\n")
        raise KeyboardInterrupt
    assert (tmp_path / "run.incomplete" / "head" / "history.csv").exists()
    assert "kept in" in caught.value.__notes__[0]
