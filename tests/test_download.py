import hashlib

import pytest

from tfmodels.download import cache_dir, download
from tfmodels.errors import RunError

CONTENT = b"content" * 1000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_whole_and_checked(loopback, tmp_path):
    answers, url = loopback
    answers["/file"] = (200, len(CONTENT), CONTENT)
    path = tmp_path / "folder" / "file"
    download(f"{url}/file", path, CHECKSUM)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((404, 0, b""), OSError),
        ((200, len(CONTENT), CONTENT[:-1]), (OSError, RunError)),
        ((200, 3, b"abc"), RunError),
    ],
)
def test_what_fails_leaves_nothing_and_keeps_what_was_there(loopback, tmp_path, answer, error):
    answers, url = loopback
    answers["/file"] = answer
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error):
        download(f"{url}/file", path, CHECKSUM)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_refused_connection_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="refused"):
        download("http://127.0.0.1:9/file", tmp_path / "file")


def test_the_cache_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "tfmodels"
