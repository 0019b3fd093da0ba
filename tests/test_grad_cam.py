from typing import Any

import keras
import numpy as np
import pytest

from tfmodels.grad_cam import grad_cam, overlay
from tfmodels.models.catalog import build
from tfmodels.models.parts import feature_extractor

layers = keras.layers


@pytest.mark.parametrize("quadrant", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_it_lies_in_the_quadrant_that_the_answer_comes_from(quadrant: tuple[int, int]) -> None:
    inputs = keras.Input((16, 16, 3))
    maps = layers.Conv2D(2, 1, kernel_initializer="ones", name="maps")(inputs)
    outputs = layers.Dense(2, use_bias=False, name="logits")(layers.Flatten()(maps))
    model = keras.Model(inputs, layers.Softmax()(outputs))
    kernel = np.zeros((16, 16, 2, 2))
    rows, columns = (slice(8 * i, 8 * i + 8) for i in quadrant)
    kernel[rows, columns, :, 1] = 1  # class 1 is what is bright there, class 0 nothing
    model.get_layer("logits").kernel.assign(kernel.reshape(-1, 2))
    images = np.random.default_rng(0).integers(1, 256, (3, 16, 16, 3), dtype="uint8")
    found = grad_cam(model, images, np.array([1, 1, 0]))
    assert found.shape == (3, 16, 16)
    inside = np.zeros((16, 16), bool)
    inside[rows, columns] = True
    assert (found[:2, inside] > 0).all()
    assert (found[:, ~inside] == 0).all()
    assert (found[2] == 0).all()
    brightness = images[:2].sum(axis=-1, dtype=float)
    expected = brightness / brightness[:, inside].max(axis=1)[:, None, None]
    np.testing.assert_allclose(found[:2, inside], expected[:, inside], atol=1e-6)


def test_where_maps_are_averaged_it_is_grad_cam() -> None:
    inputs = keras.Input((8, 8, 3))
    maps = layers.Conv2D(5, 3, padding="same", activation="relu")(inputs)
    outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(inputs, outputs)
    images = np.random.default_rng(1).random((2, 8, 8, 3)).astype("float32")
    found = grad_cam(model, images, np.array([2, 0]))
    activations = keras.Model(inputs, maps).predict(images, verbose=0)
    kernel = np.array(model.layers[-1].kernel)
    probabilities = model.predict(images, verbose=0)
    for i, number in enumerate((2, 0)):
        # The gradient of log p of class c is w_c minus the mean of w by the probabilities.
        weights = kernel[:, number] - kernel @ probabilities[i]
        expected = (activations[i] @ weights).clip(0)
        np.testing.assert_allclose(found[i], expected / max(expected.max(), 1e-12), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("vgg", 32),
        ("airbench-small", 32),
        ("mobilenetv2", 64),
        ("alexnet", 64),
    ],
)
def test_networks_of_the_catalogue(name: str, side: int) -> None:
    keras.utils.set_random_seed(0)
    model = build(name, (32, 32, 3), 4, side)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
    found = grad_cam(model, images, np.array([0, 3]))
    assert found.shape == (2, 32, 32)
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1
    assert found.max() > 0


def test_maps_of_one_pixel_speak_everywhere_or_nowhere() -> None:
    keras.utils.set_random_seed(0)
    model = build("mobilenetv2", (32, 32, 3), 4, 32)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    classes = np.arange(4)
    found = grad_cam(model, images, classes)
    features = feature_extractor(model).predict(images, verbose=0)
    kernel = np.array(model.get_layer("logits").kernel)
    speaks = (features * kernel[:, classes].T).sum(axis=1) > 0
    assert 0 < speaks.sum() < 4
    assert (found == speaks[:, None, None]).all()


def test_a_network_without_maps() -> None:
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(inputs)))
    assert grad_cam(model, np.ones((1, 4, 4, 3)), np.array([0])).shape == (1, 4, 4)
    flat = keras.Input((4,))
    with pytest.raises(ValueError, match="has no maps"):
        grad_cam(keras.Model(flat, layers.Dense(2)(flat)), np.ones((1, 4)), np.array([0]))


def test_the_overlay_is_brightest_where_it_speaks(tf_test: Any) -> None:
    images = np.full((1, 4, 4, 3), 100, np.uint8)
    shares = np.zeros((1, 4, 4))
    shares[0, 1, 2] = 1
    found = overlay(images, shares).astype(int)
    assert found.shape == images.shape
    assert found[0, 1, 2].sum() > found[0, 0, 0].sum()
    tf_test.assertAllClose(found[0, 0, 0], [40, 40, 42], atol=1)
