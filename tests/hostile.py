"""Write files that are hostile or damaged, each kind to a path.

`HOSTILE` holds a function of each kind by its name, which begins with the format: `npz_bomb`. What
would run code creates the file `ran(path)` if it is run. `damage` damages a good file. The files
are small; what they claim, or become when they are decompressed, is not.
"""

import inspect
import io
import json
import os
import pickle
import re
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

LARGE = 2**26  # bytes that bombs become
HUGE = 2**42  # bytes that are only claimed
DAMAGES = ("truncate", "flip", "empty", "swap", "dangling link", "folder", "pipe")


def ran(path: Path) -> Path:
    """Return the file that shows that what is in a file was run."""
    return path.with_name(f"{path.name}.ran")


class Payload:
    """An object whose pickle calls `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(ran(self.path)), "w")


def peak_growth(function: Callable[[], object]) -> int:
    """Return by how many bytes a call raises this process' memory at most, on Linux."""

    def status(name: str) -> int:
        """Return a size that the system knows of this process."""
        (value,) = re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(value) * 1024

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    before = status("VmRSS")
    function()
    return status("VmHWM") - before


def damage(path: Path, kind: str, rng: np.random.Generator, other: Path | None = None) -> None:
    """Damage a good file.

    Args:
        path: of the file.
        kind: one of `DAMAGES`.
        rng: chooses where.
        other: a file to swap with.
    """
    content = path.read_bytes() if path.is_file() else b""
    if kind == "truncate":
        os.truncate(path, int(rng.integers(max(len(content), 1))))
    elif kind == "flip":
        flipped = bytearray(content)
        for place in rng.integers(len(content), size=3) if content else ():
            flipped[place] ^= int(rng.integers(1, 256))
        path.write_bytes(flipped)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "swap":
        if other is None:
            raise ValueError("a file to swap with is needed")
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    else:
        path.unlink()
        {"dangling link": dangling_link, "folder": folder, "pipe": pipe}[kind](path)


# Instead of a file


def dangling_link(path: Path) -> None:
    """Make a link to nowhere."""
    path.symlink_to(path.with_name("nowhere"))


def folder(path: Path) -> None:
    """Make an empty folder."""
    path.mkdir()


def pipe(path: Path) -> None:
    """Make a pipe, whose reader waits for a writer."""
    os.mkfifo(path)


def device(path: Path) -> None:
    """Make a link to a device that never ends."""
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


# Zip archives


def _member(archive: zipfile.ZipFile, name: str, start: bytes, size: int) -> None:
    """Add a member of many zeros after its start."""
    info = zipfile.ZipInfo(name)
    info.compress_type = archive.compression
    with archive.open(info, "w", force_zip64=True) as member:
        member.write(start)
        for _ in range(size // 2**20):
            member.write(bytes(2**20))


def zip_slip(path: Path, name: str = "../slipped", content: bytes = b"x") -> None:
    """Write an archive with a member that leads out of a folder."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)


def zip_absolute(path: Path) -> None:
    """Write an archive with a member of an absolute path."""
    zip_slip(path, "/tmp/slipped")


def zip_backslash(path: Path) -> None:
    """Write an archive with a member that leads out of a folder on Windows."""
    zip_slip(path, "a\\..\\..\\slipped")


def zip_link(path: Path) -> None:
    """Write an archive with a member that is a link to the password file."""
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")


def zip_twice(path: Path) -> None:
    """Write an archive with two members of one name."""
    import warnings

    with warnings.catch_warnings(action="ignore"):
        zip_slip(path, "twice")
        zip_slip(path, "twice")


def zip_encrypted(path: Path) -> None:
    """Write an archive with a member that says that it is encrypted."""
    zip_slip(path, "secret")
    content = bytearray(path.read_bytes())
    local, central = content.rfind(b"PK\3\4"), content.rfind(b"PK\1\2")
    content[local + 6] |= 1
    content[central + 8] |= 1
    path.write_bytes(content)


def zip_directory(path: Path) -> None:
    """Write an archive whose directory claims 60,000 members without content."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", *[0] * 9, 5, *[0] * 6)
    entries = b"".join(entry + f"{index:05d}".encode() for index in range(60_000))
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 60_000, 60_000, len(entries), 0, 0)
    path.write_bytes(entries + end)


# Arrays of NumPy


def _header(descr: str, shape: Sequence[int]) -> bytes:
    stream = io.BytesIO()
    claim = {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(stream, claim)
    return stream.getvalue()


def npz_bomb(path: Path, names: Sequence[str] = ("a",), compression: int = 8) -> None:
    """Write a small file whose arrays become large when they are decompressed."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            _member(archive, f"{name}.npy", _header("<f4", (LARGE // 4,)), LARGE)


def npz_bzip2(path: Path) -> None:
    """Write the same, so that a few bytes are decompressed at once to many."""
    npz_bomb(path, compression=zipfile.ZIP_BZIP2)


def npz_claim(path: Path) -> None:
    """Write an array that claims terabytes, without its numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", _header("<f4", (HUGE,)))


def npz_negative(path: Path) -> None:
    """Write an array that claims a negative size."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", _header("<f4", (-1,)))


def npz_header(path: Path) -> None:
    """Write an array whose header alone becomes large when it is decompressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        _member(archive, "a.npy", b"\x93NUMPY\2\0" + struct.pack("<I", LARGE), LARGE)


def npz_overlap(path: Path) -> None:
    """Write an archive of a thousand members that share one compressed content."""
    names = [f"{index:03d}.npy" for index in range(1000)]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        _member(archive, names[0], _header("<f4", (2**18,)), 2**20)
    content = stream.getvalue()
    start, end = content.rfind(b"PK\1\2"), content.rfind(b"PK\5\6")
    entry = content[start:end]
    entries = b"".join(entry.replace(names[0].encode(), name.encode()) for name in names)
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1000, 1000, len(entries), start, 0)
    path.write_bytes(content[:start] + entries + tail)


def npz_payload(path: Path) -> None:
    """Write an array of an object whose unpickling runs code."""
    with path.open("wb") as file:
        np.savez(file, a=np.array([Payload(path)], dtype=object))


def npz_text(path: Path) -> None:
    """Write an array whose name holds control characters."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\x1b[31mred\nline.npy", _header("<f4", (1,)) + bytes(4))


def _npy(path: Path, pickled: bytes) -> None:
    path.write_bytes(_header("|O", ()) + pickled)


def npy_payload(path: Path) -> None:
    """Write a dictionary of arrays with an object whose unpickling runs code."""
    _npy(path, pickle.dumps(np.array({"conv1": [Payload(path), Payload(path)]}, dtype=object)))


class _ForgedType:
    """A dtype whose state makes NumPy read the file's bytes as pointers."""

    def __reduce__(self) -> tuple[Any, ...]:
        state = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 63)
        return np.dtype, ("V8", False, True), state


class _Array:
    """An array's pickle that claims any type, shape and content."""

    def __init__(self, kind: Any, shape: Sequence[int], content: Any) -> None:
        self.state = (1, tuple(shape), kind, False, content)

    def __reduce__(self) -> tuple[Any, ...]:
        return np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


def npy_forged(path: Path) -> None:
    """Write an array whose forged type would end the process."""
    forged = _Array(_ForgedType(), (1,), b"\x41" * 8)
    _npy(path, pickle.dumps(np.array({"conv1": [forged, forged]}, dtype=object)))


def npy_claim(path: Path) -> None:
    """Write a dictionary of arrays that claim terabytes."""
    claim = _Array(np.dtype("f4"), (HUGE,), b"")
    _npy(path, pickle.dumps(np.array({"conv1": [claim, claim]}, dtype=object)))


def npy_copies(path: Path) -> None:
    """Write a pickle that encodes one text a thousand times."""
    text = b"X" + struct.pack("<I", LARGE // 1000) + b"a" * (LARGE // 1000) + b"q\1"
    encode = b"c_codecs\nencode\n" + text + b"X\6\0\0\0latin1\x86R"
    again = b"c_codecs\nencode\nh\1X\6\0\0\0latin1\x86R"
    _npy(path, b"\x80\2(" + encode + again * 1000 + b"l.")


# Pickles and PyTorch's checkpoints, written without PyTorch


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(number: int) -> bytes:
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)


def _numbers(numbers: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(_number, numbers)) + b"t"


def _tensor(key: str, count: int, shape: Sequence[int], strides: Sequence[int]) -> bytes:
    """Return the operations that make a tensor of a storage."""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(key) + _text("cpu")
    storage += _number(count) + b"tQ"
    arguments = storage + _number(0) + _numbers(shape) + _numbers(strides) + b"\x89}"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def _state(tensors: Mapping[str, bytes]) -> bytes:
    """Return the pickle of a dictionary of tensors."""
    pairs = b"".join(_text(name) + tensor for name, tensor in tensors.items())
    return b"\x80\2}(" + pairs + b"u."


def checkpoint(
    path: Path, pickled: bytes, storages: Mapping[str, int], compression: int = 0
) -> None:
    """Write a checkpoint, its storages of zeros, given by their sizes."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, size in storages.items():
            _member(archive, f"archive/data/{key}", b"", size)


def pth_bomb(path: Path) -> None:
    """Write a small checkpoint whose storage becomes large when it is decompressed."""
    tensor = _tensor("0", LARGE // 4, (LARGE // 4,), (1,))
    checkpoint(path, _state({"features.0.weight": tensor}), {"0": LARGE}, zipfile.ZIP_DEFLATED)


def pth_again(path: Path) -> None:
    """Write a checkpoint of a hundred tensors that each read the same storage."""
    tensors = {f"{i}": _tensor("0", 2**20, (2**20,), (1,)) for i in range(100)}
    checkpoint(path, _state(tensors), {"0": 2**22}, zipfile.ZIP_DEFLATED)


def pth_strides(path: Path) -> None:
    """Write a tensor of terabytes that repeats one number."""
    tensor = _tensor("0", 1, (HUGE // 9216, 9216), (0, 0))
    checkpoint(path, _state({"classifier.1.weight": tensor}), {"0": 2**20})


def pth_payload(path: Path) -> None:
    """Write a checkpoint with an object whose unpickling runs code."""
    checkpoint(path, pickle.dumps({"a": Payload(path)}, protocol=2), {})


def pth_memo(path: Path) -> None:
    """Write a pickle that keeps an object at place 2**31 of a list."""
    checkpoint(path, b"\x80\2}r" + struct.pack("<I", 2**31) + b".", {})


def pth_bytes(path: Path) -> None:
    """Write a pickle that claims terabytes of bytes."""
    checkpoint(path, b"\x80\4\x8e" + struct.pack("<Q", HUGE) + b".", {})


def pth_operations(path: Path) -> None:
    """Write a compressed pickle of millions of empty dictionaries."""
    checkpoint(path, b"\x80\2(" + b"}" * (LARGE // 64) + b"l.", {}, zipfile.ZIP_DEFLATED)


def pth_nested(path: Path) -> None:
    """Write a pickle of tuples in tuples, whose hash would overflow the stack."""
    checkpoint(path, b"\x80\2}" + b"N" + b"\x85" * 500_000 + b"Ns.", {})


def pth_numbers(path: Path) -> None:
    """Write a tensor whose shape is of numbers with a hundred thousand digits."""
    number = b"\x8b" + struct.pack("<I", 40_000) + b"\x7f" * 40_000
    shape = b"(" + number + b"q\1" + b"h\1" * 3000 + b"t"
    tensor = _tensor("0", 1, (), ()).replace(_numbers(()), shape)
    checkpoint(path, _state({"a": tensor}), {"0": 2**20})


def pth_legacy_storages(path: Path) -> None:
    """Write an old checkpoint of many storages, each no larger than the file."""
    count = 2**20
    keys = [str(index) for index in range(LARGE // (4 * count))]
    tensors = {key: _tensor(key, count, (count,), (1,)) for key in keys}
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    pickled = [pickle.dumps(item, 2) for item in head] + [_state(tensors), pickle.dumps(keys, 2)]
    storage = struct.pack("<q", count) + bytes(4 * count)
    path.write_bytes(b"".join(pickled) + storage)


def pth_legacy_payload(path: Path) -> None:
    """Write a plain pickle whose unpickling runs code."""
    path.write_bytes(pickle.dumps(Payload(path)))


# HDF5 and Keras


def _h5(path: Path) -> h5py.Group:
    """Return the group of the first convolution's weights in a new file."""
    return h5py.File(path, "w").create_group("layers/conv2d/vars")


def h5_bomb(path: Path) -> None:
    """Write a compressed weight that claims gigabytes in 2.4 kB."""
    with _h5(path).file as file:
        file.create_dataset("layers/conv2d/vars/0", (2**15, 2**15), "f4", compression="gzip")


def h5_claim(path: Path) -> None:
    """Write a weight that claims gigabytes that were never written."""
    with _h5(path).file as file:
        file.create_dataset("layers/conv2d/vars/0", (2**15, 2**15), "f4")


def h5_chunk(path: Path) -> None:
    """Write a small weight in a chunk that becomes large when it is decompressed."""
    with _h5(path).file as file:
        place = "layers/conv2d/vars/0"
        whole = dict.fromkeys(("maxshape", "chunks"), (LARGE // 4,))
        weight = file.create_dataset(place, (8,), "f4", compression="gzip", **whole)
        weight.id.write_direct_chunk((0,), zlib.compress(bytes(LARGE), 1))


def h5_many(path: Path) -> None:
    """Write a thousand weights, each small, together gigabytes that were never written."""
    with _h5(path).file as file:
        for index in range(1000):
            file.create_dataset(f"layers/conv2d_{index}/vars/0", (2**20,), "f4")


def h5_soft_link(path: Path) -> None:
    """Write a weight that is a link to another."""
    with _h5(path).file as file:
        file["layers/conv2d/vars/0"] = h5py.SoftLink("/layers/conv2d_1/vars/0")


def h5_external_link(path: Path) -> None:
    """Write layers that are a link to another file."""
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink(f"{path.name}.other", "/layers")


def h5_external_storage(path: Path) -> None:
    """Write a weight whose numbers are in the password file."""
    with _h5(path).file as file:
        numbers = [("/etc/passwd", 0, 400)]
        file.create_dataset("layers/conv2d/vars/0", (100,), "f4", external=numbers)


def h5_virtual(path: Path) -> None:
    """Write a weight whose numbers are in another HDF5 file."""
    layout = h5py.VirtualLayout((100,), "f4")
    layout[:] = h5py.VirtualSource(f"{path.name}.other", "a", (100,))
    with _h5(path).file as file:
        file.create_virtual_dataset("layers/conv2d/vars/0", layout)


def h5_cycle(path: Path) -> None:
    """Write a group that holds itself."""
    with _h5(path).file as file:
        file["layers/conv2d/vars/again"] = file["layers"]


def h5_text(path: Path) -> None:
    """Write a weight of text."""
    with _h5(path).file as file:
        file["layers/conv2d/vars/0"] = ["text"] * 64


def keras_bomb(path: Path) -> None:
    """Write a small file whose weights become large when they are decompressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        _member(archive, "model.weights.h5", b"\x89HDF\r\n\x1a\n", LARGE)


def keras_claim(path: Path) -> None:
    """Write a file whose weights claim gigabytes that were never written."""
    inner = path.with_name(f"{path.name}.inner")
    h5_claim(inner)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner, "model.weights.h5")
    inner.unlink()


def keras_payload(path: Path) -> None:
    """Write a file whose model is a layer that runs code."""
    import base64
    import marshal

    code = compile(f"open({str(ran(path))!r}, 'w')", "payload", "eval")
    encoded = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": encoded}}
    config = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": function}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")


# Safetensors


def safetensors_header(path: Path) -> None:
    """Write a header that claims terabytes."""
    path.write_bytes(struct.pack("<Q", HUGE) + b"{}")


def safetensors_claim(path: Path) -> None:
    """Write a tensor that claims terabytes."""
    claim = {"dtype": "F32", "shape": [HUGE // 4], "data_offsets": [0, HUGE]}
    header = json.dumps({"features.0.weight": claim}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def safetensors_sparse(path: Path) -> None:
    """Write a tensor of gigabytes that take no room on the disk."""
    claim = {"dtype": "F32", "shape": [2**30], "data_offsets": [0, 2**32]}
    header = json.dumps({"features.0.weight": claim}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(path, 8 + len(header) + 2**32)


# Images


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _png(size: int, *chunks: bytes) -> bytes:
    """Return a PNG image that claims a size, without most of its rows."""
    head = _chunk(b"IHDR", struct.pack(">2I5B", size, size, 8, 2, 0, 0, 0))
    rows = _chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + rows + _chunk(b"IEND", b"")


def png_bomb(path: Path) -> None:
    """Write an image that claims 60,000 x 60,000 pixels."""
    path.write_bytes(_png(60_000))


def png_text(path: Path) -> None:
    """Write an image with compressed texts that become large."""
    text = zlib.compress(bytes(LARGE // 4), 9)
    chunks = [_chunk(b"zTXt", b"key%d\0\0" % index + text) for index in range(4)]
    path.write_bytes(_png(8, *chunks))


def png_profile(path: Path) -> None:
    """Write an image whose colour profile becomes large when it is decompressed."""
    path.write_bytes(_png(8, _chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(LARGE), 1))))


def png_chunks(path: Path) -> None:
    """Write an image with a million empty chunks before its pixels."""
    path.write_bytes(_png(8, _chunk(b"prVt", b"") * 10**6))


def _ifd(entries: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Return a directory of TIFF, of (tag, type, count, value)."""
    packed = b"".join(struct.pack("<2H2I", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + packed + bytes(4)


def _tags(size: int, total: int) -> bytes:
    """Return a TIFF file whose tags each claim the same bytes."""
    entries = [(tag, 7, size, 8) for tag in range(40_000, 40_000 + total)]
    return b"II*\0" + struct.pack("<I", 8 + size) + bytes(size) + _ifd(entries)


def tiff_tags(path: Path) -> None:
    """Write an image with ten thousand tags of the same megabyte."""
    path.write_bytes(_tags(2**20, 10_000))


def tiff_strips(path: Path) -> None:
    """Write an image of eight rows with four million strips."""
    count = 4 * 2**20
    size = 4 * count
    entries = [
        (256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, count, 8), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, 8),
    ]  # fmt: skip
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + size) + bytes(size) + _ifd(entries))


def jpeg_exif(path: Path) -> None:
    """Write a photograph whose EXIF tags each claim the same bytes."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    content = stream.getvalue()
    exif = _tags(2**19, 5_000)
    parts = [exif[start : start + 65_000] for start in range(0, len(exif), 65_000)]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts
    )
    path.write_bytes(content[:2] + segments + content[2:])


def jpeg_bomb(path: Path) -> None:
    """Write a photograph that claims 65,500 x 65,500 pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG")
    claim = struct.pack(">2H", 65_500, 65_500)
    path.write_bytes(stream.getvalue().replace(struct.pack(">2H", 16, 16), claim, 1))


def webp_bomb(path: Path) -> None:
    """Write an animation whose canvas claims 16,383 x 16,383 pixels."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    stream = io.BytesIO()
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:])
    claim = (16_382).to_bytes(3, "little") * 2
    content = stream.getvalue()
    path.write_bytes(content[:24] + claim + content[30:])


def webp_sparse(path: Path) -> None:
    """Write an image of gigabytes that take no room on the disk."""
    path.write_bytes(b"RIFF" + struct.pack("<I", 2**32 - 10) + b"WEBPVP8 ")
    os.truncate(path, 2**32)


def gif_renamed(path: Path) -> None:
    """Write an image of another format."""
    Image.new("P", (8, 8)).save(path, "GIF")


def html(path: Path) -> None:
    """Write a page with a script."""
    path.write_text("<html><script>alert(1)</script></html>")


# JSON and text


def json_deep(path: Path) -> None:
    """Write lists in lists, a hundred thousand deep."""
    path.write_text("[" * 100_000)


def json_number(path: Path) -> None:
    """Write a number of a million digits."""
    path.write_text('{"version": ' + "9" * 10**6 + "}")


def json_sparse(path: Path) -> None:
    """Write a file of gigabytes that take no room on the disk."""
    path.write_text("{")
    os.truncate(path, 2**33)


def text_control(path: Path) -> None:
    """Write a line that would colour a terminal and write over another line."""
    path.write_bytes(b"\x1b[31mred\rover\x07\n")


def text_binary(path: Path) -> None:
    """Write bytes that aren't UTF-8."""
    path.write_bytes(b"good\n\xff\xfe\x00\x81\n")


def features_json(path: Path) -> None:
    """Write features of a TFDS data set that import a module beside the file.

    It runs where the file's folder is on Python's path.
    """
    name = f"hostile_{path.parent.name.replace('.', '_')}"
    path.with_name(f"{name}.py").write_text(f"open({str(ran(path))!r}, 'w')\n")
    path.write_text(json.dumps({"pythonClassName": f"{name}.Feature", "text": {}}))


_INSTEAD = ("dangling_link", "folder", "pipe", "device", "unix_socket")
_FORMATS = (
    *("zip", "npz", "npy", "pth", "h5", "keras", "safetensors"),
    *("png", "tiff", "jpeg", "webp", "gif", "html", "json", "text", "features"),
)
HOSTILE: dict[str, Callable[[Path], None]] = {
    name: function
    for name, function in list(globals().items())
    if inspect.isfunction(function) and name.startswith((*_INSTEAD, *_FORMATS))
}
