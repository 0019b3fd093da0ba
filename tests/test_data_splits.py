import numpy as np
import pytest

from tfmodels.data.splits import check_split, random_split, read_lists
from tfmodels.errors import UsageError

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
