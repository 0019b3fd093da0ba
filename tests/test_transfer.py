import dataclasses

import keras
import numpy as np
import pytest

from tfmodels import transfer
from tfmodels.data import eurosat
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.models.parts import backbone, head
from tfmodels.settings import EurosatSettings
from tfmodels.training import predict, train

SETTINGS = EurosatSettings(data="sample", epochs=3, batch_size=16, lr=0.01, image_size=32)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tfmodels" / "features"


def network():
    keras.utils.set_random_seed(0)
    return mobilenetv2(image_size=32)


def test_the_two_parts_make_the_whole(land_data):
    model = network()
    pixels = next(iter(land_data.val.dataset.batch(8)))[0]
    features = backbone(model).predict_on_batch(pixels)
    np.testing.assert_allclose(
        head(model).predict_on_batch(features), model.predict_on_batch(pixels), atol=1e-6
    )


def test_the_head_is_that_of_training_with_a_frozen_backbone(land_data, cache, tmp_path):
    plain = network()
    plain.get_layer("mobilenetv2").trainable = False
    train(plain, land_data, SETTINGS)
    fast = network()
    features = transfer.compute_features(fast, land_data)
    before = [np.array(weight) for weight in backbone(fast).weights]
    transfer.train_head(fast, features, land_data, SETTINGS, tmp_path)

    for ours, theirs in zip(fast.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for weight, value in zip(backbone(fast).weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert (
        abs(np.array(fast.get_layer("logits").kernel - network().get_layer("logits").kernel)).max()
        > 0.01
    )
    probabilities = transfer.predict_head(fast, features, land_data.test)
    np.testing.assert_allclose(probabilities, predict(fast, land_data.test), atol=1e-5)
    kept = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(predict(kept, land_data.test), probabilities, atol=1e-5)


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


def test_other_weights_sizes_preprocessing_and_pictures_have_other_features(land_data, cache):
    def key(model, data=land_data):
        ids = np.concatenate([split.ids for split in (data.train, data.val, data.test)])
        return transfer._checksum(backbone(model), data, ids)

    first = network()
    other_weights = network()
    kernel = other_weights.get_layer("mobilenetv2").get_layer("Conv1").kernel
    kernel.assign(kernel + 1)
    other_preprocessing = network()
    other_preprocessing.get_layer("rescale").offset = 0
    other_size = mobilenetv2(image_size=64)
    keys = [key(m) for m in (first, other_weights, other_preprocessing, other_size)]
    keys.append(key(first, dataclasses.replace(land_data, version="2.0.0")))
    keys.append(key(first, dataclasses.replace(land_data, test=land_data.val)))
    assert len(set(keys)) == 6
    other_head = network()
    other_head.get_layer("logits").kernel.assign(kernel[0, 0, 0, 0] + np.zeros((1280, 10)))
    assert key(other_head) == key(network()) == keys[0]


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
