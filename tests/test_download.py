import hashlib
import os
from pathlib import Path

import platformdirs
import pytest

from tests.conftest import Answers
from tests.hostile import HOSTILE
from tfmodels.download import cache_dir, download
from tfmodels.errors import RunError

CONTENT = b"content" * 1000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_whole_and_checked(loopback: tuple[Answers, str], tmp_path: Path) -> None:
    answers, url = loopback
    answers["/file"] = (200, len(CONTENT), CONTENT)
    path = tmp_path / "folder" / "file"
    download(f"{url}/file", path, CHECKSUM)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((404, 0, b""), OSError, "404"),
        ((503, 0, b""), OSError, "503"),
        ((200, len(CONTENT), CONTENT[:-1]), OSError, "IncompleteRead"),
        ((200, 3, b"abc"), RunError, "/file has the wrong checksum"),
    ],
    ids=["404", "503", "broken off", "checksum"],
)
def test_what_fails_leaves_nothing_and_keeps_what_was_there(
    loopback: tuple[Answers, str],
    tmp_path: Path,
    answer: tuple[int, int, bytes],
    error: type[Exception],
    message: str,
) -> None:
    answers, url = loopback
    answers["/file"] = answer
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error, match=message):
        download(f"{url}/file", path, CHECKSUM)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_checksum_a_download_that_broke_off_leaves_nothing(
    loopback: tuple[Answers, str], tmp_path: Path
) -> None:
    answers, url = loopback
    answers["/file"] = (200, len(CONTENT), CONTENT[:-1])
    with pytest.raises(OSError, match="IncompleteRead"):
        download(f"{url}/file", tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_downloaded_again(
    loopback: tuple[Answers, str], tmp_path: Path
) -> None:
    _, url = loopback  # answers 404
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    download(f"{url}/file", path, CHECKSUM)
    download(f"{url}/file", path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "unix_socket"])
def test_what_is_not_a_file_is_named_and_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    HOSTILE[kind](path)
    with pytest.raises(RunError, match=f"{path} is not a regular file"):
        download("http://127.0.0.1:9/file", path, CHECKSUM)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_nowhere_is_replaced(loopback: tuple[Answers, str], tmp_path: Path) -> None:
    answers, url = loopback
    answers["/file"] = (200, len(CONTENT), CONTENT)
    HOSTILE["dangling_link"](tmp_path / "file")
    download(f"{url}/file", tmp_path / "file", CHECKSUM)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["file"]


def test_a_refused_connection_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="refused"):
        download("http://127.0.0.1:9/file", tmp_path / "file")


def test_the_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "tfmodels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path(platformdirs.user_cache_dir()) / "tfmodels"
