"""Downloads that are verified before anything reads them, and the folder that keeps them."""

import contextlib
from pathlib import Path

import platformdirs
import pooch

from tfmodels.errors import RunError
from tfmodels.safe_files import open_file

TIMEOUT = 30  # seconds without an answer or a byte


def cache_dir() -> Path:
    """Return the folder for what is made or downloaded once: ~/.cache/tfmodels on Linux."""
    return platformdirs.user_cache_path("tfmodels", appauthor=False)


def download(url: str, path: Path, sha256: str | None = None) -> None:
    """Download a file, whole and with its checksum or not at all.

    A file that is at the path already is kept if no checksum is given, or if it has it.

    Raises:
        RunError: the file has another checksum, or something else than a file is at the path.
        OSError: the connection failed or broke off, or the answer is an HTTP error.
    """
    with contextlib.suppress(FileNotFoundError):
        open_file(path).close()  # which pooch reads: a pipe would be waited for
    pooch.get_logger().setLevel("WARNING")  # the progress bar says that it is downloading
    # Not compressed, so that sizes and checksums are the file's own.
    headers = {"Accept-Encoding": "identity"}
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT, headers=headers)
    known_hash = None if sha256 is None else f"sha256:{sha256}"
    try:
        pooch.retrieve(url, known_hash, path.name, path.parent, downloader=downloader)
    except OSError:  # also requests' errors, of which some are ValueErrors too
        raise
    except ValueError as error:
        raise RunError(f"{url} has the wrong checksum: {error}") from error
