import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tfmodels.errors import RunError
from tfmodels.runs.manifest import (
    MANIFEST,
    check_file,
    list_files,
    read_manifest,
    update_manifest,
    write_manifest,
)
from tfmodels.safe_files import checksum, write_json

NAMES = [".tfmodels", "config.json", "figures/curve.png"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with the files of `NAMES` and its manifest."""
    run = tmp_path / "run"
    (run / "figures").mkdir(parents=True)
    for name in NAMES:
        (run / name).write_text(f"content of {name}")
    write_manifest(run)
    return run


def test_it_holds_the_checksum_of_each_file_but_itself(run: Path) -> None:
    assert list(list_files(run)) == NAMES
    files = read_manifest(run)
    assert files == {name: checksum(run / name) for name in NAMES}
    assert [check_file(run, files, name) for name in NAMES] == [run / name for name in NAMES]
    write_manifest(run)
    assert read_manifest(run) == files


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_is_named(run: Path, name: str) -> None:
    path, files = run / name, read_manifest(run)
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole[:3] + b"C" + whole[4:], whole + b"\n"):
        path.write_bytes(content)
        with pytest.raises(RunError, match=f"{name} doesn't match the manifest: it was damaged"):
            check_file(run, files, name)
    path.unlink()
    with pytest.raises(RunError, match=f"{name} is missing: train again"):
        check_file(run, files, name)


def test_what_is_no_file_is_refused_though_its_content_may_match(run: Path, tmp_path: Path) -> None:
    path, files = run / "config.json", read_manifest(run)
    same = tmp_path / "same"
    same.write_bytes(path.read_bytes())
    kinds: dict[str, Callable[[], object]] = {
        "doesn't match": lambda: path.symlink_to(same),
        "is not a regular file": lambda: os.mkfifo(path),
        "config.json is not a regular file": path.mkdir,
    }
    for message, create in kinds.items():
        path.unlink()
        create()
        with pytest.raises(RunError, match=message):
            check_file(run, files, "config.json")


def test_a_file_that_is_not_in_it_is_not_read(run: Path) -> None:
    (run / "more.json").write_text("{}")
    with pytest.raises(RunError, match=r"manifest\.json doesn't name more\.json"):
        check_file(run, read_manifest(run), "more.json")


def test_one_file_is_recorded_anew(run: Path) -> None:
    before = read_manifest(run)
    for name in NAMES[1:]:
        (run / name).write_text("new")
    update_manifest(run, NAMES[1])
    check_file(run, read_manifest(run), NAMES[1])
    with pytest.raises(RunError, match="doesn't match"):
        check_file(run, read_manifest(run), NAMES[2])
    assert read_manifest(run) == {**before, NAMES[1]: checksum(run / NAMES[1])}


def test_a_damaged_manifest_is_named(run: Path) -> None:
    for content in ("", "{", "[]", "{}", '{"files": []}', '{"files": {"a": 1}}', "\0"):
        (run / MANIFEST).write_text(content)
        with pytest.raises(RunError, match=r"manifest\.json can't be read"):
            read_manifest(run)


@pytest.mark.parametrize("name", ["/etc/passwd", "../other/config.json", "a/../../b", "a//b"])
def test_a_manifest_never_leads_out_of_its_run(run: Path, name: str) -> None:
    write_json(run / MANIFEST, {"files": {name: "0"}})
    with pytest.raises(RunError, match=f"can't be used: it names '{name}'"):
        read_manifest(run)
