import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pytest

from tests.hostile import HOSTILE, peak_growth, ran
from tfmodels.errors import RunError
from tfmodels.safe_files import (
    PART,
    checksum,
    new_file,
    open_file,
    open_zip,
    read_arrays,
    read_json,
    read_member,
    write_arrays,
    write_json,
    write_text,
)


class Point(TypedDict):
    x: float
    name: str


def fail(path: Path) -> None:
    with new_file(path) as part:
        part.write_text("new")
        raise OSError("full")


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="full"):
        fail(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]
    with new_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.name.startswith(PART)
        assert part.suffix == ".txt"
    assert path.read_text() == "new"


def test_links_are_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("of someone else")
    (tmp_path / "note.txt").symlink_to(other)
    write_text(tmp_path / "note.txt", "ours")
    assert other.read_text() == "of someone else"
    assert not (tmp_path / "note.txt").is_symlink()


def test_files_get_the_permissions_that_the_user_gives_new_files(tmp_path: Path) -> None:
    (tmp_path / "by_hand").write_text("")
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "by_hand").stat().st_mode


def test_json_is_checked_against_its_type(tmp_path: Path) -> None:
    path = tmp_path / "point.json"
    write_json(path, {"x": 1.5, "name": "a", "more": []})
    assert read_json(path, Point) == {"x": 1.5, "name": "a"}
    wrong = {
        '{"x": "1", "name": "a"}': "float",
        '{"x": 1}': "name",
        "[]": "object",
        '{"x": 1, "name": ': "truncated",
        '{"x": NaN, "name": "a"}': "JSON is malformed",
        "": "truncated",
        '{"x": 1, "name": "\\ud800"}': "truncated",
        "[" * 100_000: "can't be read",
    }
    for content, fault in wrong.items():
        path.write_text(content)
        with pytest.raises(RunError, match=fault):
            read_json(path, Point)
    with pytest.raises(RunError, match="is missing"):
        read_json(tmp_path / "none.json", Point)


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for read in (open_file, checksum):
            with pytest.raises(RunError, match="is not a regular file"):
                read(path)
        with pytest.raises(RunError, match="is not a regular file"):
            read_json(path, Point)
        with pytest.raises(RunError, match="is not a regular file"):
            read_arrays(path, 100)


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.array("text")}
    write_arrays(tmp_path / "a.npz", arrays)
    found = read_arrays(tmp_path / "a.npz", most=24 + 16)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert read_arrays(tmp_path / "a.npz", 16, names=["b", "c"]).keys() == {"b"}


def forged(path: Path, header: dict[str, Any], content: bytes = b"") -> Path:
    """Write an archive with one array, whose header claims anything."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", stream.getvalue() + content)
    return path


def test_sizes_are_compared_before_memory_is_taken(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.npz"
    np.savez_compressed(bomb, a=np.zeros(10**7, "float32"))
    assert bomb.stat().st_size < 10**5
    with pytest.raises(RunError, match="claims to hold 40,000,000 bytes, and 1,000 at most fit"):
        read_arrays(bomb, most=1000)
    claim = {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
    with pytest.raises(RunError, match="claims 4,398,046,511,104 bytes and has"):
        read_arrays(forged(tmp_path / "claim.npz", claim), most=2**50)
    claim["shape"] = (-1,)
    with pytest.raises(RunError, match="has shape"):
        read_arrays(forged(tmp_path / "claim.npz", claim), most=2**50)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    content = pickle.dumps(np.array([{}], object))
    claim = {"descr": "|O", "fortran_order": False, "shape": (1,)}
    with pytest.raises(RunError, match="holds objects"):
        read_arrays(forged(tmp_path / "objects.npz", claim, content), most=1000)


@pytest.mark.parametrize(
    "kind", [kind for kind in HOSTILE if kind.startswith(("npz", "zip")) and kind != "npz_text"]
)
def test_hostile_archives_are_refused_within_their_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.npz"
    HOSTILE[kind](path)

    def read() -> None:
        """Refuse the archive in one line."""
        with pytest.raises(RunError, match=f"{path} can't be read") as caught:
            read_arrays(path, most=2**20)
        assert str(caught.value).isprintable()

    assert peak_growth(read) < 2**24
    assert not ran(path).exists()


def test_a_member_is_read_up_to_its_size(tmp_path: Path) -> None:
    """A directory can say that a member is small, whatever it becomes."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(2**27))
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 2**27), struct.pack("<I", 100)))

    def read() -> None:
        """Find that it isn't what the directory says."""
        with open_file(path) as file, open_zip(file) as archive:
            for most in (99, 100, 2**30):
                with pytest.raises(zipfile.BadZipFile):
                    read_member(archive, "a", most)

    assert peak_growth(read) < 2**24
    path.write_bytes(content)
    with open_file(path) as file, open_zip(file) as archive:
        with pytest.raises(ValueError, match="'a' has more than 1,000 bytes"):
            read_member(archive, "a", 1000)
        with pytest.raises(ValueError, match="the archive has more than 10 bytes"):
            open_zip(file, directory=10)


def test_folders_and_sockets_are_no_files(tmp_path: Path) -> None:
    HOSTILE["unix_socket"](tmp_path / "socket")
    for path in (tmp_path, tmp_path / "socket"):
        with pytest.raises(RunError, match="is not a regular file"):
            open_file(path)
