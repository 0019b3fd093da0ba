from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmodels.errors import UsageError
from tfmodels.models.layers import LocalResponseNormalization, image_input
from tfmodels.models.vgg import vgg


@pytest.mark.parametrize(("radius", "alpha", "beta"), [(2, 2e-5, 0.75), (1, 0.5, 0.5), (9, 1, 1)])
def test_response_normalization_equals_tensorflows(
    tf_test: Any, radius: int, alpha: float, beta: float
) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32") * 50
    layer = LocalResponseNormalization(radius, bias=2.0, alpha=alpha, beta=beta)
    expected = tf.nn.local_response_normalization(x, radius, 2.0, alpha, beta)
    tf_test.assertAllClose(layer(x), expected, rtol=1e-5, atol=0)


def test_response_normalization_is_saved_with_its_settings(tf_test: Any, tmp_path: Path) -> None:
    inputs = keras.Input((2, 2, 6))
    model = keras.Model(inputs, LocalResponseNormalization(2, 1.5, 0.1, 0.75)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(1, 2, 2, 6)).astype("float32")
    tf_test.assertAllEqual(loaded(x), model(x))


def test_only_images_of_another_size_are_scaled() -> None:
    inputs, scaled = image_input("vgg", (32, 32, 3), 32)
    assert scaled is inputs
    inputs, scaled = image_input("vgg", (64, 32, 3), 32)
    assert inputs.shape == (None, 64, 32, 3)
    assert scaled.shape == (None, 32, 32, 3)


def test_calling_a_network_that_scales_is_inference(tf_test: Any, tmp_path: Path) -> None:
    model = vgg((16, 16, 3), 3, 8)
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3))
    for one in (model, keras.models.load_model(tmp_path / "model.keras")):
        before = one.get_weights()
        tf_test.assertAllClose(one(images), one.predict(images, verbose=0))
        tf_test.assertAllClose(before, one.get_weights())
        assert abs(np.array(one(images, training=True) - one(images))).max() > 0.001


def test_an_image_size_that_is_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="`image_size` is 3: vgg needs a whole number from 4 up"):
        image_input("vgg", (32, 32, 3), 3)
