import numpy as np
from sklearn.linear_model import LogisticRegression

from tfmodels.data import sample


def arrays(split, n):
    pairs = sample.examples(split)[:n]
    pictures = np.stack([example["image"] for _, example in pairs])
    return pictures, np.array([example["label"] for _, example in pairs])


def test_the_same_pictures_every_time_and_none_twice():
    first, again = sample.examples("test"), sample.examples("test")
    assert [key for key, _ in first] == [key for key, _ in again]
    assert all(
        (a["image"] == b["image"]).all() for (_, a), (_, b) in zip(first, again, strict=True)
    )
    everything = [e["image"].tobytes() for s in sample.SIZES for _, e in sample.examples(s)]
    assert len(set(everything)) == len(everything) == sum(sample.SIZES.values())


def test_classes_are_balanced():
    for split, size in sample.SIZES.items():
        _, labels = arrays(split, size)
        assert np.bincount(labels).tolist() == [size // 10] * 10


def test_a_linear_classifier_on_the_pixels_stays_under_60_percent():
    train, train_labels = arrays("train", 5000)
    test, test_labels = arrays("test", 1000)
    model = LogisticRegression(C=1e-3, max_iter=200)
    model.fit(train.reshape(len(train), -1) / 255 - 0.5, train_labels)
    accuracy = model.score(test.reshape(len(test), -1) / 255 - 0.5, test_labels)
    assert 0.1 < accuracy < 0.6


def test_preparing_twice_keeps_what_is_there(sample_dir):
    stored = sample_dir / sample.NAME / sample.VERSION
    before = {file: file.stat().st_mtime_ns for file in stored.iterdir()}
    sample.prepare(sample_dir)
    assert {file: file.stat().st_mtime_ns for file in stored.iterdir()} == before
