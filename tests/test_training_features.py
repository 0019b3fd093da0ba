import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.toys import arrays
from tfmodels.config import Config
from tfmodels.data.images import ImageData
from tfmodels.data.splits import SPLITS
from tfmodels.models.catalog import build
from tfmodels.models.parts import feature_extractor
from tfmodels.training import features
from tfmodels.training.features import compute_features
from tfmodels.training.fit import predict, train_model

CONFIG = Config(data="sample", epochs=3, batch_size=16, lr=0.01)
HEAD = dataclasses.replace(CONFIG, weights="x.keras", trainable="head")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tfmodels" / "images"


@pytest.fixture(scope="module")
def data() -> ImageData:
    names = ("red", "green", "blue")
    return ImageData.from_arrays(arrays(60, 0), arrays(30, 1), arrays(40, 2), names)


def network(size: int = 8, offset: float = 0.0) -> keras.Model:
    """Build a network with the boundary that all have; with batch norm and dropout too."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((8, 8, 3), name="pixels")
    x = layers.Resizing(size, size, name="resize")(inputs)
    x = layers.Rescaling(1 / 127.5, offset=offset, name="rescale")(x)
    x = layers.Conv2D(16, 3, activation="relu", name="conv1")(x)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.GlobalMaxPooling2D(name="features")(x)
    x = layers.Dropout(0.2, name="head_dropout")(x)
    x = layers.Dense(3, name="logits")(x)
    return keras.Model(inputs, layers.Softmax(name="probabilities")(x), name="small")


def test_the_head_is_that_of_training_with_frozen_features(
    data: ImageData, tmp_path: Path, tf_test: Any
) -> None:
    plain, start = network(), network().get_weights()
    for layer in feature_extractor(plain).layers:
        layer.trainable = False
    (tmp_path / "plain").mkdir()
    train_model(plain, data, CONFIG, tmp_path / "plain")
    fast = network()
    directory = tmp_path / "run"
    directory.mkdir()
    last = train_model(fast, data, HEAD, directory)

    for ours, theirs in zip(fast.get_weights(), plain.get_weights(), strict=True):
        tf_test.assertAllClose(ours, theirs, atol=1e-5)
    changes = [abs(w - s).max() for w, s in zip(fast.get_weights(), start, strict=True)]
    assert changes[:-2] == [0] * (len(changes) - 2)  # all but the head
    assert min(changes[-2:]) > 0.01
    probabilities = predict(last.network, last.data.test)
    tf_test.assertAllClose(probabilities, predict(fast, data.test), atol=1e-5)
    kept = keras.models.load_model(directory / "model.keras")
    tf_test.assertAllClose(predict(kept, data.test), probabilities, atol=1e-5)


def test_features_are_computed_once_for_all_splits_of_the_same_images(
    data: ImageData, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tf_test: Any
) -> None:
    computed = []
    original = feature_extractor

    def counting(model: keras.Model) -> keras.Model:
        extractor = original(model)
        predict_on_batch = extractor.predict_on_batch

        def count(x: np.ndarray) -> np.ndarray:
            computed.append(len(x))
            result: np.ndarray = predict_on_batch(x)
            return result

        extractor.predict_on_batch = count
        return extractor

    monkeypatch.setattr("tfmodels.training.features.feature_extractor", counting)
    swapped = dataclasses.replace(data, train=data.test, test=data.train)
    first, second = compute_features(network(), data), compute_features(network(), swapped)
    assert sum(computed) == 130
    assert len([path for path in empty_cache.iterdir() if path.is_dir()]) == 1
    expected = original(network()).predict(data.test.images, verbose=0)
    for split in (first.test, second.train):
        tf_test.assertAllClose(split.images[np.arange(40)], expected, atol=1e-5)
        tf_test.assertAllEqual(split.labels, data.test.labels)


def test_features_of_part_of_the_images_are_those_of_that_part(
    data: ImageData, tf_test: Any
) -> None:
    few = data.limited(20, seed=0)
    whole, part = compute_features(network(), data), compute_features(network(), few)
    assert [len(getattr(part, name)) for name in SPLITS] == [20, 20, 20]
    rows = np.flatnonzero(np.isin(data.val.ids, few.val.ids))
    tf_test.assertAllClose(whole.val.images[rows], part.val.images[np.arange(20)], atol=1e-5)


def key(model: keras.Model, data: ImageData) -> str:
    ids = np.concatenate([getattr(data, part).ids for part in SPLITS])
    return features._key(feature_extractor(model), data.checksum, ids)


def test_other_weights_sizes_preprocessing_and_images_have_other_features(
    data: ImageData,
) -> None:
    images, labels = arrays(60, 0)
    darker = ImageData.from_arrays(
        (images // 2, labels), arrays(30, 1), arrays(40, 2), data.class_names
    )
    other_weights, other_head = network(), network()
    other_weights.get_layer("conv1").bias.assign(np.ones(16))
    other_head.get_layer("logits").bias.assign(np.ones(3))
    keys = [
        key(network(), data),
        key(other_weights, data),
        key(network(offset=-1.0), data),
        key(network(size=9), data),
        key(network(), data.limited(30, seed=0)),
        key(network(), darker),
    ]
    assert len(set(keys)) == len(keys)
    assert key(other_head, data) == keys[0]


@pytest.mark.parametrize("name", ["mobilenetv2", "alexnet-bvlc"])
def test_networks_keep_their_key_between_models(name: str, data: ImageData) -> None:
    keys = set()
    for _ in range(2):
        keras.utils.set_random_seed(0)
        keys.add(key(build(name, (8, 8, 3), 3, 67), data))
    assert len(keys) == 1


def test_an_interruption_leaves_nothing_that_looks_whole(
    data: ImageData, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    predict_on_batch = keras.Model.predict_on_batch

    def interrupted(self: keras.Model, x: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        result: np.ndarray = predict_on_batch(self, x)
        return result

    monkeypatch.setattr(keras.Model, "predict_on_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compute_features(network(), data)
    assert not [path for path in empty_cache.iterdir() if path.is_dir()]
    computed = compute_features(network(), data)
    assert np.abs(computed.test.images[np.arange(40)]).sum(axis=1).min() > 0
