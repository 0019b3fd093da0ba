import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmodels.errors import UsageError
from tfmodels.models.vgg import vgg, vgg_block


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return vgg()


def test_the_layers_in_order(model: keras.Model) -> None:
    block = ["conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "pool", "dropout"]
    expected = ["pixels", "rescale"]
    expected += [f"block{n}_{layer}" for n in (1, 2) for layer in block]
    expected += ["features", "dense1", "dense1_bn", "dense1_relu", "dense1_dropout"]
    expected += ["logits", "probabilities"]
    assert [layer.name for layer in model.layers] == expected


def test_the_parameters_counted_by_hand(model: keras.Model) -> None:
    a, b, dense = 32, 64, 256
    convolutions = 9 * (3 * a + a * a + a * b + b * b)
    batch_norms = 4 * (2 * a + 2 * b + dense)  # scale, shift, mean, variance
    head = (8 * 8 * b) * dense + dense * 10 + 10  # the hidden layer's bias is its batch norm's
    assert model.count_params() == convolutions + batch_norms + head
    assert model.count_params() == 1_118_314


def test_pytorchs_defaults(model: keras.Model) -> None:
    assert model.get_layer("block1_relu1").negative_slope == pytest.approx(0.01)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
    kernel = np.array(model.get_layer("dense1").kernel)
    bound = 1 / np.sqrt(kernel.shape[0])
    assert 0.99 * bound < abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.01)
    for part in (model.get_layer("logits").kernel, model.get_layer("logits").bias):
        assert abs(np.array(part)).max() == pytest.approx(1 / np.sqrt(256), rel=0.2)


def test_weights_follow_from_the_seed_and_differ_between_layers(tf_test: Any) -> None:
    def kernels(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        return [np.array(w).ravel() for w in vgg().trainable_weights if w.name == "kernel"]

    first, again, other = kernels(0), kernels(0), kernels(1)
    for a, b, c in zip(first, again, other, strict=True):
        tf_test.assertAllEqual(a, b)
        assert abs(np.corrcoef(a, c)[0, 1]) < 0.15
    for a, b in itertools.combinations(first, 2):
        n = min(len(a), len(b))
        assert abs(np.corrcoef(a[:n], b[:n])[0, 1]) < 0.15


def test_raw_pixels_give_probabilities(model: keras.Model, tf_test: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype="uint8")
    probabilities = model.predict(pixels, verbose=0)
    assert probabilities.dtype == np.float32
    tf_test.assertAllClose(probabilities.sum(axis=1), np.ones(5), rtol=1e-6, atol=0)
    assert (probabilities >= 0).all()
    rescale = model.get_layer("rescale")
    tf_test.assertAllClose(rescale(np.array([0.0, 127.5, 255.0])), [-1, 0, 1], atol=1e-7)


@pytest.mark.parametrize("size", [4, 32, 64])
def test_images_of_any_size_are_scaled_and_the_smallest_size_works(size: int) -> None:
    model = vgg((size, size, 3), 3, 4)
    assert model.get_layer("block2_pool").output.shape == (None, 1, 1, 64)
    with pytest.raises(UsageError, match="`image_size` is 3: vgg needs a whole number from 4 up"):
        vgg((size, size, 3), 3, 3)


def test_probabilities_stay_float32_under_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = vgg((8, 8, 3), 3, 8, filters=(4,), block_dropout=(0.1,), dense_units=4)
        output = model(np.zeros((1, 8, 8, 3)))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(output.dtype) == "float32"


def test_a_saved_model_predicts_the_same(model: keras.Model, tf_test: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype="uint8")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    tf_test.assertAllEqual(loaded.predict(pixels, verbose=0), model.predict(pixels, verbose=0))


def test_gradients_of_a_small_float64_block(tf_test: Any) -> None:
    keras.config.set_dtype_policy("float64")
    try:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4, 4, 2), dtype="float64")
        block = keras.Model(inputs, vgg_block(inputs, 3, 0.5, name="block1"))
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 2))
    analytic, numeric = tf.test.compute_gradient(block, [x], delta=1e-6)
    assert np.abs(numeric).max() > 0.01
    tf_test.assertAllClose(analytic, numeric, rtol=1e-5, atol=1e-7)
