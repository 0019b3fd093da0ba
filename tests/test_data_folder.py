import os
import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tfmodels.data import store
from tfmodels.data.augmentation import turn_shift_brighten
from tfmodels.data.files import FileImages
from tfmodels.data.images import ImageData, Selected, load_data
from tfmodels.errors import RunError, UsageError
from tfmodels.recipes import configure


def fill(
    path: Path,
    classes: dict[str, int],
    sizes: Sequence[tuple[int, int]] = ((12, 12),),
    name: str = "{}.png",
) -> Path:
    """Fill a folder with images of one colour each: the class' index, and their own number."""
    for index, (label, n) in enumerate(sorted(classes.items())):
        (path / label).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            image = Image.new("RGB", sizes[number % len(sizes)], (10 * index, number, 99))
            image.save(path / label / name.format(number))
    return path


def load(path: Path, **settings: Any) -> ImageData:
    return load_data(configure(data=str(path), **settings))


def check_colours(data: ImageData) -> None:
    """Check that images, labels and ids of all splits belong together."""
    for split in (data.train, data.val, data.test):
        images = split.images[np.arange(len(split))]
        assert images.shape == (len(split), *data.image_shape)
        for image, name, label in zip(images, split.ids, split.labels, strict=True):
            *_, class_name, file = name.split("/")
            assert class_name == data.class_names[label]
            assert (image == (10 * label, int(file.split(".")[0]), 99)).all()


def test_small_images_of_one_size_are_kept(tmp_path: Path) -> None:
    path = fill(tmp_path / "shapes", {"square": 25, "disc": 20})
    data = load(path)
    check_colours(data)
    assert (data.name, data.version, data.class_names) == ("shapes", "", ("disc", "square"))
    assert data.image_shape == (12, 12, 3)
    assert (len(data.train), len(data.val), len(data.test)) == (29, 7, 9)
    assert data.augment is turn_shift_brighten
    assert data.notes == ()
    assert data.split_description.startswith(
        "random within each class, seed 0; of images that belong together"
    )
    assert isinstance(data.train.images, Selected)
    assert isinstance(data.train.images.images, np.ndarray)
    ids = [*data.train.ids, *data.val.ids, *data.test.ids]
    assert sorted(ids) == sorted(
        f"{label}/{i}.png" for label, n in (("square", 25), ("disc", 20)) for i in range(n)
    )


def test_other_images_are_read_from_their_files(tmp_path: Path) -> None:
    for sizes in [(12, 12), (9, 14)], [(12, 12), (13, 13)], [(300, 300)], [(20, 10)]:
        path = fill(tmp_path / str(sizes), {"a": 9, "b": 9}, sizes)
        data = load(path, image_size=40)
        check_colours(data)
        assert data.image_shape == (40, 40, 3)
        assert data.augment is turn_shift_brighten
        assert isinstance(data.train.images, Selected)
        assert isinstance(data.train.images.images, FileImages)
        assert data.checksum != load(path, image_size=41).checksum


@pytest.mark.parametrize("more", [{}, {"c": 9}], ids=["of one size", "and square ones"])
def test_the_middle_of_wide_images_is_kept_undistorted(
    tmp_path: Path, more: dict[str, int]
) -> None:
    wide = Image.new("RGB", (200, 100), "red")
    wide.paste("blue", (50, 0, 150, 100))
    path = fill(tmp_path / "wide", {"a": 9, "b": 9} | more)
    for label in "ab":
        for number in range(9):
            wide.save(path / label / f"{number}.png")
    data = load(path, image_size=50)
    images = data.train.images[np.flatnonzero(data.train.labels < 2)]
    assert images.shape[1:] == (50, 50, 3)
    assert (images[:, 1:-1, 1:-1] == (0, 0, 255)).all()


def test_the_split_follows_from_the_seed(tmp_path: Path) -> None:
    path = fill(tmp_path, {"a": 20, "b": 20})
    first, again, other = load(path), load(path), load(path, seed=1)
    assert first.val.ids.tolist() == again.val.ids.tolist()
    assert first.val.ids.tolist() != other.val.ids.tolist()
    assert first.checksum == other.checksum
    assert len(load(path, limit=3).test) == 3
    with pytest.raises(UsageError, match="`limit` is 27: the training split of .* has 26 images"):
        load(path, limit=27)


def test_a_folder_is_loaded_in_one_line(tmp_path: Path) -> None:
    path = fill(tmp_path, {"a": 9, "b": 9})
    data = ImageData.from_folder(path)
    assert data.train.ids.tolist() == load(path).train.ids.tolist()
    seeded = ImageData.from_folder(path, seed=1)
    assert seeded.train.ids.tolist() == load(path, seed=1).train.ids.tolist()


def test_a_second_run_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fill(tmp_path, {"a": 9, "b": 9})
    first = load(path)
    monkeypatch.setattr(store, "_write", None)
    monkeypatch.setattr("tfmodels.data.files._check_files", None)
    assert load(path).checksum == first.checksum
    monkeypatch.undo()
    Image.new("RGB", (12, 12), (0, 3, 99)).save(path / "a" / "3.png", compress_level=0)
    assert load(path).checksum != first.checksum


def test_folders_of_splits(tmp_path: Path) -> None:
    sizes = {"train": 20, "val": 5, "test": 7}
    for part, n in sizes.items():
        fill(tmp_path / part, {"a": n, "b": n})
    data = load(tmp_path)
    check_colours(data)
    assert data.split_description == "the folders train, val and test"
    assert data.class_names == ("a", "b")
    for part, n in sizes.items():
        ids = getattr(data, part).ids.tolist()
        assert sorted(ids) == sorted(f"{part}/{label}/{i}.png" for label in "ab" for i in range(n))


def test_without_a_validation_folder_a_fifth_of_train_validates(tmp_path: Path) -> None:
    for part, n in (("train", 20), ("test", 7)):
        fill(tmp_path / part, {"a": n, "b": n})
    data = load(tmp_path, seed=3)
    check_colours(data)
    assert (
        data.split_description == "the folders train and test; a fifth of train validates, seed 3"
    )
    assert (len(data.train), len(data.val), len(data.test)) == (32, 8, 14)
    assert np.bincount(data.val.labels).tolist() == [4, 4]
    assert {name.split("/")[0] for name in data.val.ids} == {"train"}


def test_folders_of_splits_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 9, "b": 9})
    with pytest.raises(UsageError, match="holds train, but no images in test: add a folder test"):
        load(tmp_path)
    fill(tmp_path / "valid", {"a": 9})
    with pytest.raises(UsageError, match="holds train, but no images in test: add a folder test"):
        load(tmp_path)
    fill(tmp_path / "test", {"a": 9})
    with pytest.raises(UsageError, match="holds a folder valid: it must be one of train, val, "):
        load(tmp_path)
    shutil.rmtree(tmp_path / "valid")
    with pytest.raises(UsageError, match=f"{tmp_path}: test has no image of b"):
        load(tmp_path)
    shutil.rmtree(tmp_path / "test")
    fill(tmp_path / "val", {"a": 9, "b": 9})
    with pytest.raises(UsageError, match="holds train, but no images in test: add a folder test"):
        load(tmp_path)


def test_a_class_can_be_named_train(tmp_path: Path) -> None:
    data = load(fill(tmp_path, {"bus": 9, "car": 9, "train": 9}))
    check_colours(data)
    assert data.class_names == ("bus", "car", "train")
    assert {name.split("/")[0] for name in data.test.ids} == set(data.class_names)


def test_groups_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "films"
    for film in range(10):
        fill(path, {"a": 5, "b": 5}, name=f"{film}_{{}}.png")
    data = load(path, split_scheme="group:_")
    films = [
        {name[2:].split("_")[0] for name in split.ids}
        for split in (data.train, data.val, data.test)
    ]
    assert len(set.union(*films)) == sum(map(len, films)) == 10
    assert data.split_description == "by groups of files whose names agree before '_', seed 0"
    lists = tmp_path / "lists"
    lists.mkdir()
    for part, film in (("train", 5), ("val", 2), ("test", 7)):
        (lists / f"{part}.txt").write_text(f"a/{film}_0.png\nb/{film}_3.png\n")
    data = load(path, split_scheme=str(lists))
    assert data.val.ids.tolist() == ["a/2_0.png", "b/2_3.png"]
    assert data.split_description.startswith(f"the lists in {lists}")
    assert data.notes == ("the split uses 6 of 100 images: the others are left out",)


def test_files_in_deeper_folders_belong_to_the_class_and_others_are_ignored(
    tmp_path: Path,
) -> None:
    fill(tmp_path, {"a": 9, "b": 9})
    fill(tmp_path / "a", {"deeper": 1}, name="00{}.png")
    (tmp_path / "a" / ".hidden").touch()
    (tmp_path / ".git" / "a").mkdir(parents=True)
    (tmp_path / "README.txt").touch()
    data = load(tmp_path)
    ids = {*data.train.ids, *data.val.ids, *data.test.ids}
    assert len(ids) == 19
    assert "a/deeper/000.png" in ids


def test_damaged_files_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    path = fill(tmp_path / "shapes", {"a": 9, "b": 9})
    (path / "a" / "notes.txt").touch()
    (path / "b" / "Thumbs.db").touch()
    os.truncate(path / "b" / "4.png", 45)
    os.mkfifo(path / "b" / "pipe.png")
    message = (
        r"4 of 21 files can't be read: a/notes.txt: not a JPEG, .*, b/4.png: .* and 1 more; "
        "remove them, or leave them out with `skip_damaged=True`"
    )
    for _ in range(2):
        with pytest.raises(RunError, match=message):
            load(path)
    data = load(path, skip_damaged=True)
    check_colours(data)
    assert data.notes[0].startswith("4 files that can't be read are left out: a/notes.txt: ")
    ids = {*data.train.ids, *data.val.ids, *data.test.ids}
    assert len(ids) == 17
    assert "b/4.png" not in ids


def test_imbalance_is_noted(tmp_path: Path) -> None:
    assert load(fill(tmp_path / "even", {"a": 10, "b": 15})).notes == ()
    notes = load(fill(tmp_path / "uneven", {"a": 10, "b": 11, "c": 16})).notes
    assert notes == ("classes hold 10 to 16 images (class weights can balance them)",)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "holds 0 folders of classes, and at least 2 are needed"),
        ({"a": 9}, "holds 1 folders of classes"),
        ({"a": 9, "b": 4}, "class b has 4 images, and at least 5 are needed"),
        ({"a": 9, "b": 0}, "class b has 0 images"),
    ],
)
def test_too_few_classes_or_images_are_refused(
    tmp_path: Path, classes: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load(fill(tmp_path, classes))


@pytest.mark.parametrize("kind", ["file", "folder", "nowhere", "inside"])
def test_links_are_refused(tmp_path: Path, kind: str) -> None:
    """One to an image inside the folder could be tested, while the image itself trains."""
    path = fill(tmp_path / "shapes", {"a": 9, "b": 9})
    outside = fill(tmp_path / "outside", {"c": 9})
    targets = {
        "file": outside / "c" / "1.png", "folder": outside / "c", "nowhere": outside / "x",
        "inside": Path("8.png"),
    }  # fmt: skip
    (path / "a" / "link").symlink_to(targets[kind])
    with pytest.raises(UsageError, match=f"{path} holds links: {path}/a/link; put the files"):
        load(path)


def test_the_folder_itself_can_be_a_link(tmp_path: Path) -> None:
    path = fill(tmp_path / "shapes", {"a": 9, "b": 9})
    (tmp_path / "link").symlink_to(path)
    (path / "a" / ".hidden").symlink_to("8.png")
    (path / "link").symlink_to("a/8.png")  # outside the folders of classes
    data = load(tmp_path / "link")
    assert data.name == "shapes"
    assert len(data.train) + len(data.val) + len(data.test) == 18


@pytest.mark.parametrize("name", [b"a\nb.png", b"a\x1b[31m.png", b"a\xff.png"])
def test_names_that_cannot_be_written_are_refused(tmp_path: Path, name: bytes) -> None:
    path = fill(tmp_path, {"a": 9, "b": 9})
    (Path(os.fsdecode(os.fsencode(path / "a") + b"/" + name))).touch()
    with pytest.raises(UsageError, match=r"holds 'a/a\\.*\.png': rename it"):
        load(path)


@pytest.mark.parametrize("sizes", [[(256, 256)], [(400, 300), (300, 400)]])
def test_images_are_not_held_in_memory(tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    """Of 39 and 30 MB of images, the process itself holds a batch."""
    path = fill(tmp_path / "many", {"a": 100, "b": 100}, sizes, name="{}.jpg")
    tracemalloc.start()
    try:
        data = load(path, image_size=224)
        for start in range(0, len(data.train), 32):
            data.train.images[np.arange(start, min(start + 32, len(data.train)))]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10e6
