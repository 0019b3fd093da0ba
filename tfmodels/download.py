"""Files from the network: verified before anything looks at them, and kept in one folder."""

import hashlib
import os
import tempfile
from pathlib import Path

import requests
from tqdm import tqdm

from tfmodels.errors import RunError

TIMEOUT = 30  # seconds without an answer or a byte


def cache_dir() -> Path:
    """Where what is made or fetched once is kept: ~/.cache/tfmodels, or under XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfmodels"


def download(url: str, path: Path, sha256: str | None = None) -> None:
    """Download a file; it is at the path as a whole and with its checksum, or not at all.

    Raises:
        RunError: it broke off, or has another checksum.
        OSError: no answer, or one that says no (requests' errors are of this kind).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            # Not compressed: sizes and checksums are the file's own.
            headers = {"Accept-Encoding": "identity"}
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                response.raise_for_status()
                size = int(response.headers.get("Content-Length", 0))
                with tqdm(total=size or None, unit="B", unit_scale=True, desc=path.name) as bar:
                    for chunk in response.iter_content(1 << 20):
                        digest.update(chunk)
                        file.write(chunk)
                        bar.update(len(chunk))
            if size and bar.n != size:
                raise RunError(f"{url} broke off after {bar.n} of {size} bytes")
            if sha256 not in (None, digest.hexdigest()):
                raise RunError(f"{url} has the checksum {digest.hexdigest()}, not {sha256}")
            file.flush()
            os.replace(file.name, path)
        finally:
            Path(file.name).unlink(missing_ok=True)
