import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from tfmodels.data import sample
from tfmodels.data.augmentation import turn_shift_brighten
from tfmodels.data.images import ImageData, load_data
from tfmodels.data.sample import Sample
from tfmodels.errors import UsageError
from tfmodels.recipes import configure

SAMPLES = {"sample": sample.SAMPLE, "land-sample": sample.LAND_SAMPLE}


@functools.cache
def drawn_examples(name: str) -> dict[str, dict[str, Any]]:
    """Return all examples of a sample by key, drawn once for all tests."""
    drawn = SAMPLES[name]
    return {key: value for split in drawn.sizes for key, value in sample.examples(drawn, split)}


def load(name: str, sample_dir: Path) -> ImageData:
    return load_data(configure(data=name, data_dir=str(sample_dir)))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_same_images_every_time_and_none_twice(sample_dir: Path, name: str) -> None:
    data = load(name, sample_dir)  # which was drawn by itself
    drawn = drawn_examples(name)
    for split in (data.train, data.val, data.test):
        images = split.images[np.arange(len(split))]
        for image, key, label in zip(images, split.ids, split.labels, strict=True):
            assert (image == drawn[key]["image"]).all()
            assert label == drawn[key]["label"]
    assert set(drawn) == {*data.train.ids, *data.val.ids, *data.test.ids}
    assert len({example["image"].tobytes() for example in drawn.values()}) == len(drawn)


@pytest.mark.parametrize(
    ("name", "checksum"),
    [
        ("sample", "7e0af73c7dc22290b95bd18bd6cd5c0261f29e60a393ce9aacd35db06447541c"),
        ("land-sample", "4d8f0be45104ed7d06078ce089be1690e8b856029977258c67bcf28b6a4a771f"),
    ],
)
def test_the_images_are_those_of_version_1(name: str, checksum: str) -> None:
    drawn = drawn_examples(name)
    first = [drawn[f"train_{index:05d}"] for index in range(50)]
    images = b"".join(example["image"].tobytes() for example in first)
    labels = bytes(example["label"] for example in first)
    assert hashlib.sha256(images + labels).hexdigest() == checksum


@pytest.mark.parametrize("name", SAMPLES)
def test_classes_are_balanced(name: str) -> None:
    for split, size in SAMPLES[name].sizes.items():
        labels = [
            example["label"]
            for key, example in drawn_examples(name).items()
            if key.startswith(f"{split}_")
        ]
        assert np.bincount(labels).tolist() == [size // 10] * 10


def test_a_linear_classifier_on_the_pixels_stays_under_60_percent(sample_dir: Path) -> None:
    data = load("sample", sample_dir)
    train, test = (
        split.images[np.arange(len(split))].reshape(len(split), -1).astype(np.float32) / 255 - 0.5
        for split in (data.train, data.test)
    )
    model = RidgeClassifier(alpha=1e3).fit(train, data.train.labels)
    assert 0.15 < model.score(test, data.test.labels) < 0.6


@pytest.mark.parametrize("drawn", SAMPLES.values(), ids=SAMPLES)
def test_preparing_twice_keeps_what_is_there(sample_dir: Path, drawn: Sample) -> None:
    stored = sample_dir / drawn.name / drawn.version
    before = {file: file.stat().st_mtime_ns for file in stored.iterdir()}
    sample.prepare(drawn, sample_dir)
    assert {file: file.stat().st_mtime_ns for file in stored.iterdir()} == before


def test_the_land_sample_is_split_by_name_and_repeats(
    sample_dir: Path, land_data: ImageData
) -> None:
    whole = load("land-sample", sample_dir)
    assert (whole.name, whole.split_description) == ("land-sample", "random, seed 0")
    assert whole.class_names == tuple(sample.LAND_SHAPES)
    assert whole.augment is turn_shift_brighten
    assert (len(whole.train), len(whole.val), len(whole.test)) == (1280, 320, 400)
    assert len({*whole.train.ids, *whole.val.ids, *whole.test.ids}) == 2000
    assert set(land_data.train.ids) < set(whole.train.ids)
    assert land_data.test.ids.tolist() == whole.test.ids.tolist()


def test_a_split_from_a_folder(sample_dir: Path, tmp_path: Path) -> None:
    names = [f"train_{i:05d}" for i in range(60)]
    parts = {"train": names[:40], "val": names[40:50], "test": names[50:]}
    for part, chosen in parts.items():
        (tmp_path / f"{part}.txt").write_text("\n".join(reversed(chosen)))
    settings = {
        "data": "land-sample", "data_dir": str(sample_dir), "split_scheme": str(tmp_path),
    }  # fmt: skip
    data = load_data(configure(**settings))
    for part, chosen in parts.items():
        assert sorted(getattr(data, part).ids) == chosen
    assert data.notes == ("the split uses 60 of 2000 images: the others are left out",)
    with pytest.raises(UsageError, match="has 40 images"):
        load_data(configure(**settings, limit=41))
