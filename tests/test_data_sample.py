import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tfmodels.data import sample

BOTH = pytest.mark.parametrize("drawn", [sample.CIFAR_SAMPLE, sample.EUROSAT_SAMPLE])


def arrays(drawn, split, n):
    pairs = sample.examples(drawn, split)[:n]
    pictures = np.stack([example["image"] for _, example in pairs])
    return pictures, np.array([example["label"] for _, example in pairs])


@BOTH
def test_the_same_pictures_every_time_and_none_twice(drawn):
    first, again = sample.examples(drawn, "train"), sample.examples(drawn, "train")
    assert [key for key, _ in first] == [key for key, _ in again]
    assert all(
        (a["image"] == b["image"]).all() for (_, a), (_, b) in zip(first, again, strict=True)
    )
    everything = [e["image"].tobytes() for s in drawn.sizes for _, e in sample.examples(drawn, s)]
    assert len(set(everything)) == len(everything) == sum(drawn.sizes.values())


@BOTH
def test_classes_are_balanced(drawn):
    for split, size in drawn.sizes.items():
        _, labels = arrays(drawn, split, size)
        assert np.bincount(labels).tolist() == [size // 10] * 10


def test_a_linear_classifier_on_the_pixels_stays_under_60_percent():
    train, train_labels = arrays(sample.CIFAR_SAMPLE, "train", 5000)
    test, test_labels = arrays(sample.CIFAR_SAMPLE, "test", 1000)
    model = LogisticRegression(C=1e-3, max_iter=200)
    model.fit(train.reshape(len(train), -1) / 255 - 0.5, train_labels)
    accuracy = model.score(test.reshape(len(test), -1) / 255 - 0.5, test_labels)
    assert 0.1 < accuracy < 0.6


@BOTH
def test_preparing_twice_keeps_what_is_there(sample_dir, drawn):
    stored = sample_dir / drawn.name / drawn.version
    before = {file: file.stat().st_mtime_ns for file in stored.iterdir()}
    sample.prepare(drawn, sample_dir)
    assert {file: file.stat().st_mtime_ns for file in stored.iterdir()} == before
