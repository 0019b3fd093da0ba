import keras
import numpy as np
import pytest

from tfmodels.errors import RunError
from tfmodels.models.weights.setting import set_weights


@pytest.fixture
def model():
    """A small model with a boundary: what is checked doesn't depend on which."""
    layers = keras.layers
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(2, 3, name="conv1")(inputs)
    x = layers.Flatten(name="features")(x)
    x = layers.Dense(4, name="dense1")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="small")


@pytest.fixture
def arrays(model):
    rng = np.random.default_rng(0)
    return {
        f"{layer.name}/{weight.name}": rng.normal(size=weight.shape).astype("float32")
        for layer in model.layers
        for weight in layer.weights
    }


def test_every_weight_is_set(model, arrays):
    set_weights(model, arrays, "weights.pth")
    for layer in model.layers:
        for weight in layer.weights:
            np.testing.assert_array_equal(weight, arrays[f"{layer.name}/{weight.name}"])


def test_what_does_not_fit_is_listed_and_nothing_is_set(model, arrays):
    before = [np.array(weight) for weight in model.weights]
    del arrays["conv1/kernel"]
    arrays["features.99.weight"] = np.zeros(3)
    arrays["dense1/kernel"] = arrays["dense1/kernel"].T
    with pytest.raises(RunError) as caught:
        set_weights(model, arrays, "weights.pth")
    for words in (
        "weights.pth doesn't fit small",
        "missing: conv1/kernel",
        "extra: features.99.weight",
        "of another shape: dense1/kernel (4, 8) for (8, 4)",
    ):
        assert words in str(caught.value)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_long_list_is_cut_and_counted(model, arrays):
    arrays |= {f"extra{i:02d}": np.zeros(1) for i in range(20)}
    with pytest.raises(RunError, match="extra07 and 12 more"):
        set_weights(model, arrays, "weights.pth")


def test_a_file_of_the_backbone_alone_leaves_the_head(model, arrays):
    kernel = np.array(model.get_layer("dense1").kernel)
    set_weights(model, {name: arrays[name] for name in ("conv1/kernel", "conv1/bias")}, "x.npz")
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, arrays["conv1/kernel"])
    np.testing.assert_array_equal(model.get_layer("dense1").kernel, kernel)


@pytest.mark.parametrize("name", ["dense1/bias", "logits/bias", "conv1/bias"])
def test_half_a_part_is_refused(model, arrays, name):
    del arrays[name]
    with pytest.raises(RunError, match=f"missing: {name}"):
        set_weights(model, arrays, "weights.pth")


def test_a_classifier_for_other_classes_is_left_as_it_is(model, arrays):
    kernel = np.array(model.get_layer("logits").kernel)
    arrays["logits/kernel"] = np.zeros((4, 1000), "float32")
    arrays["logits/bias"] = np.zeros(1000, "float32")
    set_weights(model, arrays, "weights.pth")
    np.testing.assert_array_equal(model.get_layer("logits").kernel, kernel)
    np.testing.assert_array_equal(model.get_layer("dense1").kernel, arrays["dense1/kernel"])
