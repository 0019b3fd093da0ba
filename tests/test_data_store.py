import errno
import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tfmodels.data import store
from tfmodels.data.store import Examples, Store, open_store

SHAPE = (10, 4, 6, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
IDS = np.array([f"image {i}" for i in range(10)])
LABELS = np.arange(10) % 3
SPLITS = np.array(["train"] * 7 + ["test"] * 3)


def batches() -> Iterator[Examples]:
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        yield Examples(IMAGES[rows], IDS[rows], LABELS[rows], SPLITS[rows])


def never() -> Iterator[Examples]:
    raise AssertionError("decoded again")


Decode = Callable[[], Iterator[Examples]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stores, which is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tfmodels" / "images"


def opened(decode: Decode = batches, key: str = "0123456789abcdef") -> Store:
    return open_store("name", key, SHAPE, decode)


def test_examples_are_decoded_once_and_read_by_index(folder: Path, tf_test: Any) -> None:
    for decode in (batches, never):
        result = opened(decode)
        tf_test.assertAllEqual(result.images[np.array([9, 0, 5])], IMAGES[[9, 0, 5]])
        assert result.ids.tolist() == IDS.tolist()
        assert result.labels.tolist() == LABELS.tolist()
        assert result.splits.tolist() == SPLITS.tolist()
        split = result.select(np.flatnonzero(result.splits == "test"))
        assert split.ids.tolist() == IDS[7:].tolist()
        tf_test.assertAllEqual(split.images[np.arange(3)], IMAGES[7:])
    (path,) = (path for path in folder.iterdir() if path.is_dir())
    assert path.name == "name-0123456789abcdef"
    assert (path / "images").stat().st_size == IMAGES.size


def test_the_checksum_is_of_images_and_ids(folder: Path) -> None:
    first = opened().checksum
    assert opened(key="another").checksum == first

    def renamed() -> Iterator[Examples]:
        yield Examples(IMAGES, np.array([*IDS[:9], "other"]), LABELS, SPLITS)

    def changed() -> Iterator[Examples]:
        yield Examples(IMAGES ^ 1, IDS, LABELS, SPLITS)

    assert opened(renamed, key="renamed").checksum != first
    assert opened(changed, key="changed").checksum != first


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["images", "examples.npz"])
@pytest.mark.parametrize(
    "damage",
    [flip, lambda path: os.truncate(path, 100), lambda path: path.write_bytes(b"")],
    ids=["flipped", "truncated", "empty"],
)
def test_a_damaged_file_is_decoded_again(
    folder: Path,
    name: str,
    damage: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
    tf_test: Any,
) -> None:
    opened()
    capsys.readouterr()
    damage(folder / "name-0123456789abcdef" / name)
    tf_test.assertAllEqual(opened().images, IMAGES)
    assert "is damaged: the images are decoded again" in capsys.readouterr().err
    opened(never)


def test_any_flipped_byte_is_damage(folder: Path) -> None:
    """NumPy and zipfile raise errors of many kinds, of which some look like the system's."""
    first = opened()
    path = folder / "name-0123456789abcdef"
    content = (path / "examples.npz").read_bytes()
    damaged = 0
    for place in range(0, len(content), 5):
        wrong = bytearray(content)
        wrong[place] ^= 0xFF
        (path / "examples.npz").write_bytes(wrong)
        try:
            result = store._read(path)
        except store._DamagedError:
            damaged += 1
        else:
            assert result.checksum == first.checksum
    assert damaged > len(content) // 10


def test_a_file_without_permission_is_not_called_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read anything, so the system's answer is replaced, not the file's mode."""
    opened()

    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, "permission denied", str(path))

    monkeypatch.setattr(np, "load", denied)
    with pytest.raises(PermissionError, match="examples.npz"):
        opened(never)


def test_a_line_says_what_takes_long(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened()
    expected = f"preparing name, once, into {folder}/name-0123456789abcdef\n"
    assert capsys.readouterr().err == expected
    opened()
    assert capsys.readouterr().err == ""


def test_files_that_are_missing_are_decoded_again(folder: Path) -> None:
    opened()
    (folder / "name-0123456789abcdef" / "images").unlink()
    opened()
    shutil.rmtree(folder)
    opened()
    assert len(opened(never).ids) > 0  # the files are back: nothing is decoded


def test_what_breaks_off_leaves_nothing(folder: Path) -> None:
    def broken() -> Iterator[Examples]:
        yield next(batches())
        raise ValueError("damaged source")

    with pytest.raises(ValueError, match="damaged source"):
        opened(broken)
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_what_a_killed_process_left_is_replaced(folder: Path, tf_test: Any) -> None:
    left = folder / "name-0123456789abcdef.part"
    left.mkdir(parents=True)
    (left / "images").write_bytes(b"half")
    tf_test.assertAllEqual(opened().images, IMAGES)
    assert not left.exists()


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_is_too_small_is_found_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9, 0, IMAGES.size - 1))
    with pytest.raises(OSError, match="decoded images need 0 MB, and 0 MB are free") as caught:
        opened(never)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(folder)


def test_a_disk_that_fills_up_is_a_plain_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another program fills it meanwhile: /dev/full takes nothing."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")

    part = folder / "name-0123456789abcdef.part"
    real_mkdir = Path.mkdir

    def mkdir(path: Path, *args: Any, **options: Any) -> None:
        real_mkdir(path, *args, **options)
        if path == part:
            (path / "images").symlink_to("/dev/full")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OSError, match="No space left") as caught:
        opened()
    assert caught.value.errno == errno.ENOSPC
    assert not part.exists()


def test_who_comes_second_waits_for_the_first(folder: Path) -> None:
    decoded = []

    def counted() -> Iterator[Examples]:
        decoded.append(1)
        yield from batches()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: opened(counted), range(4)))
    assert len(decoded) == 1
    assert len({result.checksum for result in results}) == 1


def test_memory_does_not_grow_with_the_data(folder: Path) -> None:
    """Of 74 MB of images, the process itself holds a few batches of 6 MB."""

    def large() -> Iterator[Examples]:
        for start in range(0, 6_000, 500):
            images = np.full((500, 64, 64, 3), start % 251, np.uint8)
            ids = np.arange(start, start + 500).astype(str)
            yield Examples(images, ids, np.zeros(500, np.int64), np.full(500, ""))

    tracemalloc.start()
    try:
        result = open_store("large", "key", (6_000, 64, 64, 3), large)
        split = result.select(np.random.default_rng(0).permutation(6_000))
        for start in range(0, 6_000, 500):
            rows = np.arange(start, start + 500)
            expected = split.ids[rows].astype(int) // 500 * 500 % 251
            assert (split.images[rows][:, 5, 5, 1] == expected).all()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 25e6
