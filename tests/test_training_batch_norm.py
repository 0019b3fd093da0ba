from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tfmodels.training.batch_norm import FusedBatchNormalization, fused_batch_norms

fuses = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow alone")


def network(**settings: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.BatchNormalization(momentum=0.7, epsilon=1e-3, name="bn", **settings)(x)
    inner = keras.Sequential([keras.Input(x.shape[1:]), layers.BatchNormalization(name="inner")])
    outputs = layers.Dense(3, "softmax")(layers.Flatten()(inner(x)))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def train(model: keras.Model, n: int = 7) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    images, labels = rng.normal(3, 2, (n, 6, 5, 3)).astype("float32"), np.arange(n) % 3
    model.fit(images, labels, epochs=3, batch_size=n, shuffle=False, verbose=0)
    return [np.array(weight) for weight in model.weights]


@fuses
@pytest.mark.parametrize("settings", [{}, {"scale": False}, {"center": False}])
def test_fused_training_equals_keras(tf_test: Any, settings: dict[str, bool]) -> None:
    expected, model = train(network(**settings)), network(**settings)
    with fused_batch_norms(model):
        assert type(model.get_layer("bn")) is FusedBatchNormalization
        weights = train(model)
    for weight, other in zip(weights, expected, strict=True):
        tf_test.assertAllClose(weight, other, rtol=1e-4, atol=1e-5)


@fuses
def test_half_precision_keeps_averages_in_float32(tf_test: Any) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        expected, model = train(network(), 40), network()
        with fused_batch_norms(model):
            train(model, 40)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("bn").moving_mean.dtype == "float32"
    for weight, other in zip(model.weights, expected, strict=True):
        tf_test.assertAllClose(weight, other, rtol=0.05, atol=0.02)


@fuses
def test_what_the_operation_lacks_is_left_to_keras() -> None:
    frozen = network()
    frozen.get_layer("bn").trainable = False
    before = np.array(frozen.get_layer("bn").moving_mean)
    with fused_batch_norms(frozen):
        train(frozen)
    assert np.array_equal(frozen.get_layer("bn").moving_mean, before)
    for settings in ({"axis": 1}, {"renorm": True}, {"dtype": "float64"}):
        model = network(**settings)
        with fused_batch_norms(model):
            assert type(model.get_layer("bn")) is layers.BatchNormalization


def test_networks_are_as_before_afterwards(tmp_path: Path) -> None:
    model = network()
    with pytest.raises(KeyError), fused_batch_norms(model):
        raise KeyError
    assert type(model.get_layer("bn")) is layers.BatchNormalization
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("bn")) is layers.BatchNormalization
