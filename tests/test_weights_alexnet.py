import numpy as np
import pytest

from tfmodels.errors import RunError
from tfmodels.models.vgg import vgg
from tfmodels.weights.alexnet import from_torchvision, set_weights


@pytest.fixture
def model():
    """A small model: what is checked doesn't depend on which."""
    return vgg((8, 8, 3), 3, filters=(2,), block_dropout=(0.1,), dense_units=4)


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
    del arrays["block1_conv1/kernel"]
    arrays["features.99.weight"] = np.zeros(3)
    arrays["dense1/kernel"] = arrays["dense1/kernel"].T
    with pytest.raises(RunError) as caught:
        set_weights(model, arrays, "weights.pth")
    for words in (
        "weights.pth doesn't fit vgg",
        "block1_conv1/kernel is missing",
        "features.99.weight is extra",
        "dense1/kernel is (4, 32), not (32, 4)",
    ):
        assert words in str(caught.value)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_classifier_for_other_classes_is_left_as_it_is(model, arrays):
    kernel = np.array(model.get_layer("logits").kernel)
    arrays["logits/kernel"] = np.zeros((4, 1000), "float32")
    arrays["logits/bias"] = np.zeros(1000, "float32")
    set_weights(model, arrays, "weights.pth")
    np.testing.assert_array_equal(model.get_layer("logits").kernel, kernel)
    np.testing.assert_array_equal(model.get_layer("dense1").kernel, arrays["dense1/kernel"])


def test_torchvisions_layouts():
    state = {
        "features.3.weight": np.arange(192 * 64 * 5 * 5).reshape(192, 64, 5, 5),
        "classifier.1.weight": np.arange(2 * 9216).reshape(2, 9216),
        "classifier.4.weight": np.arange(6).reshape(2, 3),
        "classifier.4.bias": np.arange(2),
        "unknown": np.zeros(1),
    }
    arrays = from_torchvision(state)
    assert arrays["conv2/kernel"][1, 2, 3, 4] == state["features.3.weight"][4, 3, 1, 2]
    # Input (row 1, column 2, channel 3) of ours is input (channel 3, row 1, column 2) of theirs.
    ours, theirs = (1 * 6 + 2) * 256 + 3, (3 * 6 + 1) * 6 + 2
    assert arrays["dense1/kernel"][ours, 1] == state["classifier.1.weight"][1, theirs]
    np.testing.assert_array_equal(arrays["dense2/kernel"], state["classifier.4.weight"].T)
    assert set(arrays) == {
        "conv2/kernel", "dense1/kernel", "dense2/kernel", "dense2/bias", "unknown",
    }  # fmt: skip
