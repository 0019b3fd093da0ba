import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from tfmodels.data import splits
from tfmodels.data.splits import check_split, random_split, read_lists
from tfmodels.errors import RunError, UsageError

NAMES = [f"River_{i}.jpg" for i in range(27_000)]
CLASSES = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "b3": "b"}
GOOD = {"train": ["a1", "b1"], "val": ["a2", "b2"], "test": ["a3", "b3"]}


def test_the_studys_sizes_disjoint_and_complete():
    split = random_split(NAMES, seed=0)
    assert {part: len(names) for part, names in split.items()} == {
        "train": 17_280, "val": 4_320, "test": 5_400,
    }  # fmt: skip
    assert sorted(name for names in split.values() for name in names) == sorted(NAMES)


def test_the_order_of_the_pictures_does_not_matter_and_the_seed_does():
    shuffled = np.random.default_rng(1).permutation(NAMES).tolist()
    assert random_split(shuffled, seed=3) == random_split(NAMES, seed=3)
    assert set(random_split(NAMES, seed=4)["test"]) != set(random_split(NAMES, seed=3)["test"])


@pytest.mark.parametrize(
    ("part", "names", "message"),
    [
        ("val", ["a2", "b2", "c9"], "val names unknown pictures: c9"),
        ("test", ["a1", "b3"], "test and train share a1"),
        ("train", ["a1", "a1", "b1"], "train names a picture twice"),
        ("test", ["a3"], "test has no picture of b"),
    ],
)
def test_lists_that_cannot_be_right_are_refused(part, names, message):
    check_split(GOOD, CLASSES, "lists")
    with pytest.raises(UsageError, match=f"lists: {message}"):
        check_split(GOOD | {part: names}, CLASSES, "lists")


def test_lists_are_read_with_and_without_a_last_newline(tmp_path):
    paths = [tmp_path / f"{part}.txt" for part in GOOD]
    for path, names in zip(paths, GOOD.values(), strict=True):
        path.write_text("\n".join(names) + ("\n" if "a1" in names else ""))
    assert read_lists(paths) == GOOD
    paths[1].unlink()
    with pytest.raises(UsageError, match=r"val\.txt can't be read"):
        read_lists(paths)


SHARED = Path(__file__).parents[2] / "shared" / "splits"


@pytest.fixture
def published(loopback, tmp_path, monkeypatch):
    """A published split of GOOD on a loopback server; gives its answers."""
    answers, url = loopback
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    checksums = [
        hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest() for names in GOOD.values()
    ]
    files = tuple(f"{part}-list.txt" for part in GOOD)
    lists = splits.Published(url, files, tuple(checksums))
    monkeypatch.setitem(splits.PUBLISHED, "spatial", lists)
    for file, names in zip(files, GOOD.values(), strict=True):
        text = "\n".join(reversed(names)).encode()  # order doesn't matter
        answers[f"/{file}"] = (200, len(text), text)
    return answers


def test_published_lists_are_downloaded_once(published):
    for _ in range(2):
        parts = splits.named_split("spatial", CLASSES, seed=0)
        assert {part: sorted(names) for part, names in parts.items()} == GOOD
        published.clear()


def test_published_lists_that_were_changed_are_refused(published):
    published["/val-list.txt"] = (200, 5, b"a2\na3")
    with pytest.raises(RunError, match=r"val-list\.txt is not the list that was published"):
        splits.named_split("spatial", CLASSES, seed=0)


def test_a_list_that_cannot_be_downloaded_can_be_put_in_place(published, tmp_path):
    answer = published.pop("/test-list.txt")
    with pytest.raises(RunError, match="test-list.txt could not be downloaded .*404") as caught:
        splits.named_split("spatial", CLASSES, seed=0)
    folder = tmp_path / "tfmodels" / "splits"
    assert f"put it into {folder}" in str(caught.value)
    (folder / "test-list.txt").write_bytes(answer[2])
    assert set(splits.named_split("spatial", CLASSES, seed=0)) == set(GOOD)


@pytest.mark.parametrize("name", ["spatial", "google"])
def test_the_real_lists(name, tmp_path, monkeypatch):
    if not SHARED.exists():
        pytest.skip("no published lists on this machine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "tfmodels" / "splits"
    shutil.copytree(SHARED, folder)
    (folder / "eurosat-test.sorted.txt").rename(folder / "eurosat-test.txt")
    names = [name for path in folder.glob("eurosat-[tv]*.txt") for name in path.read_text().split()]
    classes = {name: name.split("_")[0] for name in names}
    parts = splits.named_split(name, classes, seed=0)
    assert [len(parts[part]) for part in splits.SPLITS] == [16_200, 5_400, 5_400]


def test_a_split_that_leaks_says_so():
    warning = "neighbouring tiles fall on both sides"
    assert warning in splits.describe_split("random", 0, leaks=True)
    assert warning in splits.describe_split("google", 0, leaks=True)
    assert splits.describe_split("random", 7, leaks=False) == "random, seed 7"
    assert "kept apart" in splits.describe_split("spatial", 0, leaks=True)
    assert "/lists" in splits.describe_split(Path("/lists"), 0, leaks=True)
