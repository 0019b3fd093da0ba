import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tfmodels.data import sample
from tfmodels.data.augmentation import turn_shift_brighten
from tfmodels.data.images import ImageData, load_data
from tfmodels.data.sample import Sample
from tfmodels.errors import UsageError
from tfmodels.recipes import configure

BOTH = pytest.mark.parametrize("drawn", [sample.SAMPLE, sample.LAND_SAMPLE])


def arrays(drawn: Sample, split: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = sample.examples(drawn, split)[:n]
    images = np.stack([example["image"] for _, example in pairs])
    return images, np.array([example["label"] for _, example in pairs])


@BOTH
def test_the_same_images_every_time_and_none_twice(drawn: Sample) -> None:
    first, again = sample.examples(drawn, "train"), sample.examples(drawn, "train")
    assert [key for key, _ in first] == [key for key, _ in again]
    assert all(
        (a["image"] == b["image"]).all() for (_, a), (_, b) in zip(first, again, strict=True)
    )
    everything = [e["image"].tobytes() for s in drawn.sizes for _, e in sample.examples(drawn, s)]
    assert len(set(everything)) == len(everything) == sum(drawn.sizes.values())


@pytest.mark.parametrize(
    ("drawn", "checksum"),
    [
        (sample.SAMPLE, "7e0af73c7dc22290b95bd18bd6cd5c0261f29e60a393ce9aacd35db06447541c"),
        (sample.LAND_SAMPLE, "4d8f0be45104ed7d06078ce089be1690e8b856029977258c67bcf28b6a4a771f"),
    ],
)
def test_the_images_are_those_of_version_1(drawn: Sample, checksum: str) -> None:
    images, labels = arrays(drawn, "train", 50)
    assert hashlib.sha256(images.tobytes() + bytes(labels.tolist())).hexdigest() == checksum


@BOTH
def test_classes_are_balanced(drawn: Sample) -> None:
    for split, size in drawn.sizes.items():
        _, labels = arrays(drawn, split, size)
        assert np.bincount(labels).tolist() == [size // 10] * 10


def test_a_linear_classifier_on_the_pixels_stays_under_60_percent() -> None:
    train, train_labels = arrays(sample.SAMPLE, "train", 5000)
    test, test_labels = arrays(sample.SAMPLE, "test", 1000)
    model = LogisticRegression(C=1e-3, max_iter=200)
    model.fit(train.reshape(len(train), -1) / 255 - 0.5, train_labels)
    accuracy = model.score(test.reshape(len(test), -1) / 255 - 0.5, test_labels)
    assert 0.1 < accuracy < 0.6


@BOTH
def test_preparing_twice_keeps_what_is_there(sample_dir: Path, drawn: Sample) -> None:
    stored = sample_dir / drawn.name / drawn.version
    before = {file: file.stat().st_mtime_ns for file in stored.iterdir()}
    sample.prepare(drawn, sample_dir)
    assert {file: file.stat().st_mtime_ns for file in stored.iterdir()} == before


def test_the_land_sample_is_split_by_name_and_repeats(
    sample_dir: Path, land_data: ImageData, tf_test: Any
) -> None:
    whole = load_data(configure(data="land-sample", data_dir=str(sample_dir)))
    assert (whole.name, whole.split) == ("land-sample", "random, seed 0")
    assert whole.class_names == tuple(sample.LAND_SHAPES)
    assert whole.augment is turn_shift_brighten
    assert (len(whole.train), len(whole.val), len(whole.test)) == (1280, 320, 400)
    assert len({*whole.train.ids, *whole.val.ids, *whole.test.ids}) == 2000
    assert set(land_data.train.ids) < set(whole.train.ids)
    assert land_data.test.ids.tolist() == whole.test.ids.tolist()
    drawn = dict(sample.examples(sample.LAND_SAMPLE, "train"))
    for split in (whole.train, land_data.train, whole.test):
        rows = np.arange(0, len(split), 10)
        for row, image in zip(rows, split.images[rows], strict=True):
            tf_test.assertAllEqual(image, drawn[split.ids[row]]["image"])
            assert split.labels[row] == drawn[split.ids[row]]["label"]


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
    with pytest.raises(UsageError, match="has 40 images"):
        load_data(configure(**settings, limit=41))
