import errno
import os
import resource
import shutil
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.hostile import HOSTILE, ran
from tfmodels.data import store
from tfmodels.data.store import Examples, Store, open_store
from tfmodels.errors import RunError

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
    source = store._Source("name", "0123456789abcdef", SHAPE, np.dtype(np.uint8))
    content = (path / "examples.npz").read_bytes()
    damaged = 0
    for place in range(0, len(content), 5):
        wrong = bytearray(content)
        wrong[place] ^= 0xFF
        (path / "examples.npz").write_bytes(wrong)
        try:
            result = store._read(path, source)
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

    monkeypatch.setattr("tfmodels.safe_files.open_file", denied)
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


PATH = "name-0123456789abcdef"


def test_what_a_killed_process_left_is_deleted(folder: Path) -> None:
    lefts = {
        folder / f".part-0123456789abcdef-{PATH}": False,
        folder / f".part-0123456789abcdef-other-{PATH}": True,  # of another store
        folder / "mine": True,
    }
    for left in lefts:
        left.mkdir(parents=True)
        (left / "images").write_bytes(b"half")
        (left / ".part-0123456789abcdef-examples.npz").write_bytes(b"half")
    opened()
    assert {left: left.exists() for left in lefts} == lefts


KINDS = ["pipe", "folder", "device", "dangling_link", "unix_socket", "npz_payload", "npz_bomb"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", "images", "examples.npz"])
def test_what_takes_the_place_of_a_file_is_replaced(
    folder: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str], tf_test: Any
) -> None:
    opened()
    capsys.readouterr()
    path = folder / PATH / name
    path.unlink() if name else shutil.rmtree(path)
    HOSTILE[kind](path)
    tf_test.assertAllEqual(opened().images, IMAGES)
    said = capsys.readouterr().err
    assert said.startswith(f"{folder / PATH} is damaged: the images are decoded again\n")
    assert len(said.splitlines()) == 2
    opened(never)
    assert not ran(path).exists()


def test_files_of_another_store_are_not_taken_for_its_own(folder: Path) -> None:
    """Though their images are the same: the labels of the other are another's."""

    def relabelled() -> Iterator[Examples]:
        yield Examples(IMAGES, IDS, LABELS[::-1], SPLITS)

    opened()
    opened(relabelled, key="another")
    for name in ("examples.npz", "images"):
        shutil.copy(folder / "name-another" / name, folder / PATH / name)
    assert opened().labels.tolist() == LABELS.tolist()
    opened(never)
    shutil.rmtree(folder / PATH)
    (folder / PATH).symlink_to("name-another")
    assert opened().labels.tolist() == LABELS.tolist()
    assert opened(never, key="another").labels.tolist() == LABELS[::-1].tolist()


def test_an_image_file_that_only_claims_its_size_is_not_read(folder: Path) -> None:
    opened()
    os.truncate(folder / PATH / "images", 2**40)  # it would be hashed for an hour
    opened()
    assert (folder / PATH / "images").stat().st_size == IMAGES.size


def test_nothing_of_others_is_deleted(folder: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "images").write_text("mine")
    folder.mkdir(parents=True)
    (folder / PATH).symlink_to(notes)
    left = folder / f".part-0123456789abcdef-{PATH}"
    left.symlink_to(notes)
    opened()
    assert (notes / "images").read_text() == "mine"
    assert not left.is_symlink()
    for inside in (Path("notes.txt"), Path("images") / "deeper"):
        shutil.rmtree(folder / PATH)
        (folder / PATH / inside).parent.mkdir(parents=True)
        (folder / PATH / inside).write_text("mine")
        with pytest.raises((RunError, OSError), match="notes.txt.*move it|not empty.*images"):
            opened()
        assert (folder / PATH / inside).read_text() == "mine"


def test_long_names_fit_into_a_file_name(folder: Path) -> None:
    for name in ("ä" * 250, "a/../b" * 40):
        assert len(open_store(name, "key" * 20, SHAPE, batches).ids) == 10
        open_store(name, "key" * 20, SHAPE, never)
    assert all(len(os.fsencode(path.name)) < 150 for path in folder.iterdir())


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


def test_a_disk_that_fills_up_is_a_plain_error(folder: Path) -> None:
    """As another program fills it meanwhile; here the system limits the size of files."""
    shape = (2, 2**20, 1, 3)

    def large() -> Iterator[Examples]:
        yield Examples(np.zeros(shape, np.uint8), IDS[:2], LABELS[:2], SPLITS[:2])

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**22, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            open_store("name", "0123456789abcdef", shape, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(folder)
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_a_cache_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    folder.parent.write_text("a file")
    with pytest.raises(OSError, match=str(folder)):
        opened()


def test_who_comes_second_waits_for_the_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decoded = []

    def counted() -> Iterator[Examples]:
        decoded.append(1)
        time.sleep(0.2)
        yield from batches()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: opened(counted), range(4)))
    assert len(decoded) == 1
    assert "another process prepares name: waiting" in capsys.readouterr().err
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
