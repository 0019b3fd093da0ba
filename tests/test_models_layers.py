import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmodels.models.layers import LocalResponseNormalization


@pytest.mark.parametrize(("radius", "alpha", "beta"), [(2, 2e-5, 0.75), (1, 0.5, 0.5), (9, 1, 1)])
def test_it_equals_tensorflows(radius, alpha, beta):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32") * 50
    layer = LocalResponseNormalization(radius, bias=2.0, alpha=alpha, beta=beta)
    expected = tf.nn.local_response_normalization(x, radius, 2.0, alpha, beta)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


def test_it_is_saved_with_its_settings(tmp_path):
    inputs = keras.Input((2, 2, 6))
    model = keras.Model(inputs, LocalResponseNormalization(2, 1.5, 0.1, 0.75)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(1, 2, 2, 6)).astype("float32")
    np.testing.assert_array_equal(loaded(x), model(x))
