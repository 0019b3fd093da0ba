import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Answers
from tests.hostile import HOSTILE
from tfmodels.data import splits
from tfmodels.data.splits import (
    check_split,
    group_split,
    left_out,
    named_split,
    random_split,
    read_lists,
    stratified_split,
)
from tfmodels.errors import RunError, UsageError

NAMES = [f"River_{i}.jpg" for i in range(27_000)]
CLASSES = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "b3": "b"}
GOOD = {"train": ["a1", "b1"], "val": ["a2", "b2"], "test": ["a3", "b3"]}


def test_the_studys_sizes_disjoint_and_complete() -> None:
    split = random_split(NAMES, seed=0)
    assert {part: len(names) for part, names in split.items()} == {
        "train": 17_280, "val": 4_320, "test": 5_400,
    }  # fmt: skip
    assert sorted(name for names in split.values() for name in names) == sorted(NAMES)


def test_the_order_of_the_images_does_not_matter_and_the_seed_does() -> None:
    shuffled = np.random.default_rng(1).permutation(NAMES).tolist()
    assert random_split(shuffled, seed=3) == random_split(NAMES, seed=3)
    assert set(random_split(NAMES, seed=4)["test"]) != set(random_split(NAMES, seed=3)["test"])
    classes = {name: "even" if hash(name) % 2 else "odd" for name in shuffled}
    ordered = {name: classes[name] for name in NAMES}
    assert stratified_split(classes, seed=3) == stratified_split(ordered, seed=3)
    assert stratified_split(classes, seed=3) != stratified_split(classes, seed=4)
    assert group_split(classes, "0", seed=3) == group_split(ordered, "0", seed=3)
    assert group_split(classes, "0", seed=3) != group_split(classes, "0", seed=4)


def test_within_each_class_small_classes_are_in_every_split() -> None:
    classes = {f"{label}/{i}": label for label, n in (("many", 100), ("few", 5)) for i in range(n)}
    split = stratified_split(classes, seed=0)
    counts = {
        part: [sum(classes[name] == label for name in names) for label in ("many", "few")]
        for part, names in split.items()
    }
    assert counts == {"train": [64, 3], "val": [16, 1], "test": [20, 1]}
    assert sorted(name for names in split.values() for name in names) == sorted(classes)
    two = stratified_split(classes, seed=0, splits=("train", "val"))
    assert {part: len(names) for part, names in two.items()} == {"train": 84, "val": 21}


def test_groups_stay_together_and_reach_the_shares() -> None:
    rng = np.random.default_rng(0)
    names = [f"{label}/film{rng.integers(60)}_{i}.jpg" for label in "ab" for i in range(500)]
    for seed in range(5):
        split = group_split({name: name[0] for name in names}, "_", seed)
        films = [{name[2:].split("_")[0] for name in split[part]} for part in splits.SPLITS]
        assert len(set.union(*films)) == sum(map(len, films)) == 60
        assert sorted(name for part in splits.SPLITS for name in split[part]) == sorted(names)
        shares = [len(split[part]) / 1000 for part in splits.SPLITS]
        assert max(abs(np.subtract(shares, (0.64, 0.16, 0.20)))) < 0.02


@pytest.mark.parametrize("groups", [3, 5, 20])
def test_groups_of_one_class_each_put_every_class_into_every_split(groups: int) -> None:
    """As with photographs of one object."""
    classes = {
        f"{label}/{label}{group}_{i}.jpg": label
        for label, photographs in (("a", 6), ("b", 2))
        for group in range(groups)
        for i in range(photographs)
    }
    for seed in range(20):
        split = named_split("group:_", classes, seed)
        counts = {
            part: [len({n.split("_")[0] for n in names if n[0] == label}) for label in "ab"]
            for part, names in split.items()
        }
        least = {3: 1, 5: 3, 20: 12}[groups]
        assert min(counts["train"]) >= least
        assert min(counts["val"] + counts["test"]) >= 1
        assert sum(sum(count) for count in counts.values()) == 2 * groups
        assert split == group_split(classes, "_", seed)


def test_a_class_that_shares_its_groups_with_larger_ones_is_in_every_split() -> None:
    classes = {f"a/{group}_{i}.jpg": "a" for group in range(30) for i in range(9)}
    classes |= {f"b/{group}_0.jpg": "b" for group in (4, 11, 23)}
    for seed in range(20):
        assert set(named_split("group:_", classes, seed)) == set(splits.SPLITS)


def test_the_first_separator_counts_in_the_file_name() -> None:
    classes = {f"a_b/{start}__{i}__.jpg": "a_b" for start in "xyz" for i in range(9)}
    split = group_split(classes, "__", seed=0)  # three groups: one for each split
    assert [len({name[:5] for name in split[part]}) for part in splits.SPLITS] == [1, 1, 1]
    assert list(map(len, split.values())) == [9, 9, 9]


def test_a_name_without_the_separator_is_a_group_of_its_own() -> None:
    alone = {f"{folder}_/y.jpg": "y" for folder in range(98)}
    split = group_split(alone | {"a/b_1.jpg": "y", "a/b_2.jpg": "y"}, "_", seed=0)
    assert [len(split[part]) for part in splits.SPLITS] == [64, 16, 20]
    together = [{"a/b_1.jpg", "a/b_2.jpg"} & set(split[part]) for part in splits.SPLITS]
    assert sorted(map(len, together)) == [0, 0, 2]
    with pytest.raises(UsageError, match="no file name holds '_'"):
        group_split(alone, "_", seed=0)


def test_a_class_of_too_few_groups_is_named() -> None:
    classes = {f"{label}/{label}{i % 4}_{i}.jpg": label for label in "abc" for i in range(9)}
    named_split("group:_", classes, seed=1)
    classes |= {f"d/{i % 2}_{i}.jpg": "d" for i in range(9)}
    message = "`split_scheme=group:_`: class d has 2 groups of files .* before '_', and each of"
    with pytest.raises(UsageError, match=message):
        named_split("group:_", classes, seed=1)


def test_a_split_that_leaves_images_out_says_so() -> None:
    assert left_out(GOOD, CLASSES) == ()
    (note,) = left_out(GOOD, CLASSES | {"b4": "b", "b5": "b"})
    assert note == "the split uses 6 of 8 images: the others are left out"


@pytest.mark.parametrize(
    ("part", "names", "message"),
    [
        ("val", ["a2", "b2", "c9"], "val names unknown images: c9"),
        ("test", ["a1", "b3"], "test and train share a1"),
        ("train", ["a1", "a1", "b1"], "train names an image twice"),
        ("test", ["a3"], "test has no image of b"),
    ],
)
def test_lists_that_do_not_fit_are_refused(part: str, names: list[str], message: str) -> None:
    check_split(GOOD, CLASSES, "lists")
    with pytest.raises(UsageError, match=f"lists: {message}"):
        check_split(GOOD | {part: names}, CLASSES, "lists")


def test_lists_are_read_with_and_without_a_last_newline(tmp_path: Path) -> None:
    paths = [tmp_path / f"{part}.txt" for part in GOOD]
    for path, names in zip(paths, GOOD.values(), strict=True):
        path.write_text("\n".join(names) + ("\n" if "a1" in names else ""))
    assert read_lists(paths, CLASSES) == GOOD
    paths[0].write_text("a/one name.jpg\r\n\r\n a/other.jpg \r\n")
    classes = CLASSES | {"a/one name.jpg": "a", "a/other.jpg": "a"}
    assert read_lists(paths, classes)["train"] == ["a/one name.jpg", "a/other.jpg"]
    paths[0].write_text("a1\n\nc9\n")
    with pytest.raises(UsageError, match=r"train\.txt, line 3: there is no image 'c9'"):
        read_lists(paths, CLASSES)
    paths[0].unlink()
    with pytest.raises(UsageError, match=r"train\.txt can't be read"):
        read_lists(paths, CLASSES)


HOSTILE_LISTS = {
    "text_binary": "val.txt, line 2: it isn't text in UTF-8",
    "text_control": r"val.txt, line 1: there is no image '\\x1b\[31mred'",
    "json_sparse": "val.txt has more than 65,[0-9]+ bytes: it isn't a list of the images",
} | dict.fromkeys(("pipe", "folder", "device", "unix_socket"), "val.txt is not a regular file")


@pytest.mark.parametrize("kind", HOSTILE_LISTS)
def test_a_list_that_is_something_else_is_named(tmp_path: Path, kind: str) -> None:
    for part, names in GOOD.items():
        (tmp_path / f"{part}.txt").write_text("\n".join(names))
    (tmp_path / "val.txt").rename(tmp_path / "elsewhere")
    (tmp_path / "val.txt").symlink_to("elsewhere")
    assert named_split(str(tmp_path), CLASSES, seed=0) == GOOD
    (tmp_path / "val.txt").unlink()
    HOSTILE[kind](tmp_path / "val.txt")
    with pytest.raises(UsageError, match=HOSTILE_LISTS[kind]):
        named_split(str(tmp_path), CLASSES, seed=0)


SHARED = Path(__file__).parents[2] / "shared" / "splits"


@pytest.fixture
def published(
    loopback: tuple[Answers, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Answers:
    """A published split of GOOD on a loopback server; returns its answers."""
    answers, url = loopback
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    train, val, test = (
        hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest() for names in GOOD.values()
    )
    files = ("train-list.txt", "val-list.txt", "test-list.txt")
    lists = splits.Published(url, files, (train, val, test))
    monkeypatch.setitem(splits.PUBLISHED, "spatial", lists)
    for file, names in zip(files, GOOD.values(), strict=True):
        text = "\n".join(reversed(names)).encode()  # order doesn't matter
        answers[f"/{file}"] = (200, len(text), text)
    return answers


def test_published_lists_are_downloaded_once(published: Answers) -> None:
    for _ in range(2):
        parts = named_split("spatial", CLASSES, seed=0)
        assert {part: sorted(names) for part, names in parts.items()} == GOOD
        published.clear()


def test_published_lists_that_were_changed_are_refused(published: Answers) -> None:
    published["/val-list.txt"] = (200, 5, b"a2\na3")
    with pytest.raises(RunError, match=r"val-list\.txt is not the list that was published"):
        named_split("spatial", CLASSES, seed=0)


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling_link", "json_sparse", "text_control"])
def test_published_lists_that_were_replaced_are_named(
    published: Answers, tmp_path: Path, kind: str
) -> None:
    named_split("spatial", CLASSES, seed=0)
    path = tmp_path / "tfmodels" / "splits" / "val-list.txt"
    path.unlink()
    HOSTILE[kind](path)
    with pytest.raises(RunError, match=f"{path}.*(can't be read|more than|not the list)"):
        named_split("spatial", CLASSES, seed=0)


def test_a_list_that_cannot_be_downloaded_can_be_put_in_place(
    published: Answers, tmp_path: Path
) -> None:
    answer = published.pop("/test-list.txt")
    with pytest.raises(RunError, match="test-list.txt could not be downloaded .*404") as caught:
        named_split("spatial", CLASSES, seed=0)
    folder = tmp_path / "tfmodels" / "splits"
    assert f"put it into {folder}" in str(caught.value)
    (folder / "test-list.txt").write_bytes(answer[2])
    assert set(named_split("spatial", CLASSES, seed=0)) == set(GOOD)


@pytest.mark.parametrize("name", ["spatial", "google"])
def test_the_real_lists(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not SHARED.exists():
        pytest.skip("no published lists on this machine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "tfmodels" / "splits"
    shutil.copytree(SHARED, folder)
    (folder / "eurosat-test.sorted.txt").rename(folder / "eurosat-test.txt")
    names = [name for path in folder.glob("eurosat-[tv]*.txt") for name in path.read_text().split()]
    classes = {name: name.split("_")[0] for name in names}
    parts = named_split(name, classes, seed=0)
    assert [len(parts[part]) for part in splits.SPLITS] == [16_200, 5_400, 5_400]


def test_a_split_that_leaks_says_so() -> None:
    warning = "neighbouring tiles fall into different splits"
    assert warning in splits.describe_split("random", 0, leaks=True)
    assert warning in splits.describe_split("google", 0, leaks=True)
    assert splits.describe_split("random", 7, leaks=False) == "random, seed 7"
    assert "kept apart" in splits.describe_split("spatial", 0, leaks=True)
    assert "/lists" in splits.describe_split("/lists", 0, leaks=True)
    assert "agree before '-', seed 3" in splits.describe_split("group:-", 3, leaks=False)
