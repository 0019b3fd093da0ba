from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests import toys
from tfmodels.data.images import ImageData, Split, load_data
from tfmodels.errors import RunError, UsageError
from tfmodels.recipes import configure, run_name

NAMES = ["red", "green", "blue"]
FEATURES: dict[str, Any] = {
    "image": tfds.features.Image(shape=(8, 8, 3)),
    "label": tfds.features.ClassLabel(names=NAMES),
}


def prepare(
    folder: Path,
    sizes: Mapping[str, int],
    features: Mapping[str, Any] = FEATURES,
    values: Mapping[str, Any] | None = None,
) -> Path:
    """Have TFDS prepare red, green and blue images, and return the folder."""
    splits = {}
    for seed, (split, size) in enumerate(sizes.items()):
        pairs = zip(*toys.arrays(size, seed), strict=True)
        splits[split] = [
            (f"{split}{i}", {"image": image, "label": label, **(values or {})})
            for i, (image, label) in enumerate(pairs)
        ]
        if "filename" in features:
            for key, example in splits[split]:
                example["filename"] = key
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.2.0",
        data_dir=folder,
        features=tfds.features.FeaturesDict(features),
        split_datasets=splits,
        disable_shuffling=True,
    )
    return folder / "tiny" / "1.2.0"


def load(folder: Path, **settings: Any) -> ImageData:
    return load_data(configure(data=str(folder), **settings))


def pixels(split: Split) -> list[Any]:
    images: list[Any] = split.images[np.arange(len(split))].tolist()
    return images


def test_its_own_splits_and_other_features(tmp_path: Path) -> None:
    more = {"filename": tfds.features.Text(), "longitude": tfds.features.Scalar(np.float32)}
    sizes = {"train": 20, "validation": 9, "test": 12}
    folder = prepare(tmp_path, sizes, FEATURES | more, {"longitude": 8.4})
    data = load(folder)
    assert (data.name, data.version, data.class_names) == ("tiny", "1.2.0", tuple(NAMES))
    assert data.split_description == "the data set's own splits"
    splits = zip(sizes.items(), (data.train, data.val, data.test), strict=True)
    for seed, ((name, size), split) in enumerate(splits):
        images, labels = toys.arrays(size, seed)
        order = np.argsort(split.ids)
        expected = [f"{name}{i}" for i in range(size)]
        assert split.ids[order].tolist() == sorted(expected)
        rows = [expected.index(one) for one in split.ids]
        assert split.labels.tolist() == labels[rows].tolist()
        assert pixels(split) == images[rows].tolist()
    assert run_name(configure(data=str(folder))) == "tiny_mobilenetv2_seed0"


def test_without_a_validation_split_or_names(tmp_path: Path) -> None:
    folder = prepare(tmp_path, {"train": 30, "test": 9, "extra": 6})
    data = load(folder, seed=1)
    assert np.bincount(data.val.labels).tolist() == [2, 2, 2]
    assert sorted([*data.train.ids, *data.val.ids]) == [f"train-{i:07}" for i in range(30)]
    assert data.test.ids.tolist() == [f"test-{i:07}" for i in range(9)]
    images = toys.arrays(30, 0)[0]
    rows = [int(name.split("-")[1]) for name in data.train.ids]
    assert pixels(data.train) == images[rows].tolist()
    assert load(folder, seed=1).val.ids.tolist() == data.val.ids.tolist()
    assert load(folder, seed=2).val.ids.tolist() != data.val.ids.tolist()


def test_a_random_split(tmp_path: Path) -> None:
    folder = prepare(tmp_path, {"train": 75})
    with pytest.raises(UsageError, match="has the splits train, and train and test are needed"):
        load(folder)
    data = load(folder, split_scheme="random")
    counts = [np.bincount(split.labels).tolist() for split in (data.train, data.val, data.test)]
    assert counts == [[16] * 3, [4] * 3, [5] * 3]
    assert len({*data.train.ids, *data.val.ids, *data.test.ids}) == 75
    assert "random within each class, seed 0" in data.split_description


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": tfds.features.Image(shape=(8, 8, 1))}, r"images \(8, 8, 1\): they must be sq"),
        ({"image": tfds.features.Image(shape=(None, None, 3))}, r"images \(None, None, 3\)"),
        ({"label": tfds.features.Scalar(np.int64)}, "an image and a label of a class are needed"),
        ({"label": tfds.features.ClassLabel(num_classes=10**6)}, "has 1000000 classes"),
    ],
)
def test_what_it_cannot_be(changed: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    shape = changed.get("image", FEATURES["image"]).shape
    grey = {"image": np.zeros((8, 8, 1), np.uint8)} if shape[-1] == 1 else {}
    folder = prepare(tmp_path, {"train": 6, "test": 6}, FEATURES | dict(changed), grey)
    with pytest.raises(UsageError, match=message):
        load(folder)


def test_too_few_of_a_class(tmp_path: Path) -> None:
    folder = prepare(tmp_path, {"train": 4})
    with pytest.raises(UsageError, match="the images can't be split within each class"):
        load(folder, split_scheme="random")


def cut(folder: Path) -> None:
    (path,) = folder.glob("*train*")
    path.write_bytes(path.read_bytes()[:-20])


def describe_badly(folder: Path) -> None:
    (folder / "features.json").write_text('{"pythonClassName": "os.system"}')


@pytest.mark.parametrize("damage", [cut, describe_badly])
def test_damaged_files(damage: Any, tmp_path: Path) -> None:
    folder = prepare(tmp_path, {"train": 30, "test": 9})
    damage(folder)
    with pytest.raises(RunError, match="is damaged"):
        load(folder)


def test_names_that_occur_twice(tmp_path: Path) -> None:
    features = FEATURES | {"id": tfds.features.Text()}
    folder = prepare(tmp_path, {"train": 30, "test": 9}, features, {"id": "same"})
    with pytest.raises(RunError, match="ids occur more than once"):
        load(folder)
