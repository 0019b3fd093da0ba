import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.conftest import ROOT
from tfmodels import transfer
from tfmodels.data import eurosat
from tfmodels.models.alexnet import alexnet_bvlc
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.models.parts import backbone, head
from tfmodels.config import EurosatSettings
from tfmodels.training.fit import predict, train

SETTINGS = EurosatSettings(data="sample", epochs=3, batch_size=16, lr=0.01)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tfmodels" / "features"


def network(size=16, offset=0.0):
    """A small network with the boundary that all of Part 2 have; batch norm and dropout too."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((64, 64, 3), name="pixels")
    x = layers.Resizing(size, size, name="resize")(inputs)
    x = layers.Rescaling(1 / 127.5, offset=offset, name="rescale")(x)
    x = layers.Conv2D(32, 3, strides=2, activation="relu", name="conv1")(x)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.GlobalMaxPooling2D(name="features")(x)
    x = layers.Dropout(0.2, name="head_dropout")(x)
    x = layers.Dense(10, name="logits")(x)
    return keras.Model(inputs, layers.Softmax(name="probabilities")(x), name="small")


def test_the_two_parts_make_the_whole(land_data):
    model = network()
    pixels = next(iter(land_data.val.dataset.batch(8)))[0]
    features = backbone(model).predict_on_batch(pixels)
    np.testing.assert_allclose(
        head(model).predict_on_batch(features), model.predict_on_batch(pixels), atol=1e-6
    )


def test_the_head_is_that_of_training_with_a_frozen_backbone(land_data, cache, tmp_path):
    plain, start = network(), network().get_weights()
    for layer in backbone(plain).layers:
        layer.trainable = False
    train(plain, land_data, SETTINGS)
    fast = network()
    features = transfer.compute_features(fast, land_data)
    transfer.train_head(fast, features, land_data, SETTINGS, tmp_path)

    for ours, theirs in zip(fast.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    changes = [abs(w - s).max() for w, s in zip(fast.get_weights(), start, strict=True)]
    assert changes[:-2] == [0] * (len(changes) - 2)  # all but the head
    assert min(changes[-2:]) > 0.01
    probabilities = transfer.predict_head(fast, features, land_data.test)
    np.testing.assert_allclose(probabilities, predict(fast, land_data.test), atol=1e-5)
    kept = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(predict(kept, land_data.test), probabilities, atol=1e-5)


def test_the_same_seed_gives_the_same_head_and_another_another(land_data, cache):
    predictions = []
    for seed in (0, 0, 1):
        model = network()
        features = transfer.compute_features(model, land_data)
        keras.utils.set_random_seed(seed)
        settings = dataclasses.replace(SETTINGS, seed=seed)
        transfer.train_head(model, features, land_data, settings)
        predictions.append(transfer.predict_head(model, features, land_data.test))
    np.testing.assert_array_equal(predictions[0], predictions[1])
    assert abs(predictions[0] - predictions[2]).max() > 1e-4


def test_features_are_computed_once_for_all_splits_of_a_data_set(sample_dir, cache, monkeypatch):
    computed = []
    compute = transfer._compute
    monkeypatch.setattr(transfer, "_compute", lambda *args: (computed.append(1), compute(*args)))
    data = [eurosat.load_eurosat("sample", sample_dir, seed=seed) for seed in (0, 1)]
    first, second = (transfer.compute_features(network(), each) for each in data)
    assert len(computed) == 1
    assert isinstance(second.values, np.memmap)
    id = data[1].test.ids[0]
    np.testing.assert_array_equal(first.values[first.rows[id]], second.values[second.rows[id]])
    pixels = next(iter(data[1].test.dataset.batch(1)))[0]
    expected = backbone(network()).predict_on_batch(pixels)[0]
    np.testing.assert_allclose(second.values[second.rows[id]], expected, atol=1e-5)


def key(model, data):
    ids = np.concatenate([split.ids for split in (data.train, data.val, data.test)])
    return transfer._checksum(backbone(model), data, ids)


def test_other_weights_sizes_preprocessing_and_pictures_have_other_features(land_data, cache):
    darker = dataclasses.replace(
        land_data.train,
        dataset=land_data.train.dataset.map(lambda image, label: (image // 2, label)),
    )
    other_weights = network()
    other_weights.get_layer("conv1").bias.assign(np.ones(32))
    keys = [
        key(network(), land_data),
        key(other_weights, land_data),
        key(network(offset=-1.0), land_data),
        key(network(size=17), land_data),
        key(network(), dataclasses.replace(land_data, train=land_data.val)),
        key(network(), dataclasses.replace(land_data, test=land_data.val)),
        key(network(), dataclasses.replace(land_data, train=darker)),
    ]
    assert len(set(keys)) == len(keys)
    other_head = network()
    other_head.get_layer("logits").bias.assign(np.ones(10))
    assert key(other_head, land_data) == key(network(), land_data) == keys[0]


@pytest.mark.parametrize("build", [mobilenetv2, alexnet_bvlc])
def test_the_networks_of_part_2_keep_their_key_between_models(build, land_data):
    keys = set()
    for _ in range(2):
        keras.utils.set_random_seed(0)
        keys.add(key(build(image_size=67), land_data))
    assert len(keys) == 1


def test_an_interruption_leaves_nothing_that_looks_whole(land_data, cache, monkeypatch):
    predict_on_batch = keras.Model.predict_on_batch
    calls = []

    def interrupted(self, x):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predict_on_batch(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        transfer.compute_features(network(), land_data)
    assert {path.suffix for path in cache.iterdir()} == {".lock", ".part"}
    features = transfer.compute_features(network(), land_data)
    assert {path.suffix for path in cache.iterdir()} == {".lock", ""}
    assert np.abs(features.values).sum(axis=1).min() > 0


def test_a_head_trains_on_jax(sample_dir, tmp_path):
    pytest.importorskip("jax")
    program = f"""
import numpy as np
from tests.test_transfer import SETTINGS, network
from tfmodels.data.eurosat import load_eurosat
from tfmodels.training.fit import predict, train
from tfmodels.training.features import compute_features, predict_head, train_head
data = load_eurosat("sample", {str(sample_dir)!r}, limit=64)
model = network()
features = compute_features(model, data)
train_head(model, features, data, SETTINGS)
train(model, data, SETTINGS)
features = compute_features(model, data)
np.testing.assert_allclose(
    predict_head(model, features, data.test), predict(model, data.test), atol=1e-5
)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
