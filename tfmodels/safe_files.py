"""Files that are written as a whole or not at all, and read without trust in what they claim.

A path that is read may be anything: a pipe that never ends, JSON of another kind, an archive that
claims to hold more than the memory. A path that is written may be a link to someone else's file.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from tfmodels.errors import RunError

if TYPE_CHECKING:  # NumPy takes half the time of `--help`
    import numpy as np

PART = ".part-"  # what the name of a file begins with that isn't whole yet
LARGEST_JSON = 2**26  # bytes
LARGEST_HEADER = 2**14  # bytes before an array's numbers
T = TypeVar("T")


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; what is there becomes `path` when the block succeeds.

    It is flushed to the disk before it takes the place of what was at `path`. A link at `path` is
    replaced, not followed.

    Raises:
        OSError: the folder can't be written to, or the disk is full.
    """
    part = path.with_name(f"{PART}{secrets.token_hex(8)}-{path.name}")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    flush_folder(path.parent)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write to; it becomes `path`, where nothing is, when the block succeeds."""
    part = path.with_name(f"{PART}{secrets.token_hex(8)}-{path.name}")
    part.mkdir()
    try:
        yield part
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def flush_folder(folder: Path) -> None:
    """Flush the names of a folder's files to the disk, where the system can."""
    with contextlib.suppress(OSError):  # Windows can't open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file, as a whole or not at all."""
    with new_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, as a whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_arrays(path: Path, arrays: "dict[str, Any]") -> None:
    """Write arrays to an `.npz` file, as a whole or not at all."""
    import numpy as np

    with new_file(path) as part:
        np.savez(part, **arrays)


def open_file(path: Path) -> io.BufferedReader:
    """Open a file to read its bytes.

    Raises:
        RunError: it is a folder, a pipe, a device or something else that isn't a file.
        OSError: it is missing, or may not be read.
    """

    def opener(name: str, flags: int) -> int:
        """Open without waiting for the other end of a pipe."""
        try:
            descriptor = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            if error.errno == errno.ENXIO:  # a socket
                raise RunError(f"{path} is not a regular file") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise RunError(f"{path} is not a regular file")
        return descriptor

    return open(path, "rb", opener=opener)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; raises as `open_file` does."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, kind: type[T]) -> T:
    """Return the content of a JSON file, checked against a type.

    Args:
        path: of the file.
        kind: such as a `TypedDict`; keys that it doesn't name are left out.

    Raises:
        RunError: the file is missing, isn't JSON, or holds something else.
    """
    import msgspec

    try:
        with open_file(path) as file:
            content = file.read(LARGEST_JSON + 1)
        if len(content) > LARGEST_JSON:
            raise RunError(f"{path} can't be read: it has more than {LARGEST_JSON:,} bytes")
        return msgspec.json.decode(content, type=kind)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing") from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunError(f"{path} can't be read ({error})") from error


def open_zip(file: BinaryIO, directory: int = 2**20) -> zipfile.ZipFile:
    """Open an archive and check what its directory says of its members.

    Args:
        file: of the archive.
        directory: bytes that it may have; in memory each takes ten times as many.

    Raises:
        ValueError: a member leads out of a folder, is a link, encrypted or there twice, or can't
            be decompressed in steps; or the directory is too large.
        zipfile.BadZipFile: it isn't a zip file, or is damaged.
    """
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # before all is read
    if end and end[zipfile._ECD_SIZE] > directory:  # type: ignore[attr-defined]
        raise ValueError(f"the directory of the archive has more than {directory:,} bytes")
    archive = zipfile.ZipFile(file)
    names = set()
    for member in archive.infolist():
        path = PureWindowsPath(member.filename)  # with both kinds of slashes, and drives
        faults = {
            "leads out of a folder": path.anchor or ".." in path.parts,
            "is a link": stat.S_ISLNK(member.external_attr >> 16),
            "is encrypted": member.flag_bits & 1,
            "is there twice": member.filename in names,
            # Others are decompressed as a whole, whatever size they have then.
            "is neither stored nor deflated": member.compress_type
            not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
        }
        for fault, found in faults.items():
            if found:
                raise ValueError(f"it holds {member.filename!r}, which {fault}")
        names.add(member.filename)
    return archive


def read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return the content of an archive's member.

    `ZipFile.read` decompresses up to 1 GiB, whatever size a member claims to have.

    Raises:
        ValueError: it has more than `most` bytes.
        KeyError: there is no such member.
        zipfile.BadZipFile: it is damaged.
    """
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name!r} has more than {most:,} bytes")
    return content


def read_arrays(
    path: Path, most: int, names: Collection[str] | None = None
) -> "dict[str, np.ndarray]":
    """Return the arrays of an `.npz` file.

    Args:
        path: of the file.
        most: bytes that they may take together.
        names: of the arrays to read; those that aren't there are left out. None reads all.

    Raises:
        RunError: the file is missing, damaged, or claims to hold more; or an array is of objects.
    """
    import numpy as np

    try:
        with open_file(path) as file:
            with open_zip(file) as archive:
                members = [
                    member
                    for member in archive.infolist()
                    if names is None or member.filename.removesuffix(".npy") in names
                ]
                claimed = sum(_size(archive, member) for member in members)
            if claimed > most:
                raise ValueError(f"it claims to hold {claimed:,} bytes, and {most:,} at most fit")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                chosen = arrays.keys() if names is None else arrays.keys() & names
                return {name: arrays[name] for name in chosen}
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing") from error
    except RunError:
        raise
    except Exception as error:  # zipfile and NumPy raise whatever their parsers do
        fault = printable(str(error)) or type(error).__name__
        raise RunError(f"{path} can't be read ({fault})") from error


def _size(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return the bytes that an array in an archive takes, from its header."""
    import numpy as np

    with archive.open(member) as file:
        header = io.BytesIO(file.read(LARGEST_HEADER))  # it, too, can claim any size
    version = np.lib.format.read_magic(header)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(header)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects")
    if min(shape, default=0) < 0:
        raise ValueError(f"{member.filename} has shape {shape}")
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size > member.file_size:
        raise ValueError(f"{member.filename} claims {size:,} bytes and has {member.file_size:,}")
    return size


def printable(text: str) -> str:
    """Return the start of a text that may come from a file, as a line that a terminal can show."""
    line = " ".join(text[:1000].split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)[:200]
