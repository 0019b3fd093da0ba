from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest

from tfmodels.errors import RunError
from tfmodels.models.weights.setting import set_weights

Arrays = dict[str, np.ndarray]


@pytest.fixture
def model() -> keras.Model:
    """A small model with a layer `features`; the checks are the same for any."""
    layers = keras.layers
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(2, 3, name="conv1")(inputs)
    x = layers.Flatten(name="features")(x)
    x = layers.Dense(4, name="dense1")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="small")


@pytest.fixture
def arrays(model: keras.Model) -> Arrays:
    rng = np.random.default_rng(0)
    return {
        f"{layer.name}/{weight.name}": rng.normal(size=weight.shape).astype("float32")
        for layer in model.layers
        for weight in layer.weights
    }


def test_every_weight_is_set(model: keras.Model, arrays: Arrays, tf_test: Any) -> None:
    set_weights(model, arrays, "weights.pth")
    for layer in model.layers:
        for weight in layer.weights:
            tf_test.assertAllEqual(weight, arrays[f"{layer.name}/{weight.name}"])


def test_what_does_not_fit_is_listed_and_nothing_is_set(
    model: keras.Model, arrays: Arrays, tf_test: Any
) -> None:
    before = [np.array(weight) for weight in model.weights]
    del arrays["conv1/kernel"]
    arrays["features.99.weight"] = np.zeros(3)
    arrays["dense1/kernel"] = arrays["dense1/kernel"].T
    with pytest.raises(RunError) as caught:
        set_weights(model, arrays, "weights.pth")
    for words in (
        "weights.pth doesn't fit small",
        "no match for: conv1/kernel",
        "unknown: features.99.weight",
        "of another shape: dense1/kernel (4, 8) for (8, 4)",
    ):
        assert words in str(caught.value)
    for weight, value in zip(model.weights, before, strict=True):
        tf_test.assertAllEqual(weight, value)


def test_a_long_list_is_cut_and_counted(model: keras.Model, arrays: Arrays, tf_test: Any) -> None:
    arrays |= {f"extra{i:02d}": np.zeros(1) for i in range(20)}
    with pytest.raises(RunError, match="extra07 and 12 more"):
        set_weights(model, arrays, "weights.pth")


def test_weights_without_a_head_leave_the_head(
    model: keras.Model, arrays: Arrays, tf_test: Any
) -> None:
    kernel = np.array(model.get_layer("dense1").kernel)
    set_weights(model, {name: arrays[name] for name in ("conv1/kernel", "conv1/bias")}, "x.npz")
    tf_test.assertAllEqual(model.get_layer("conv1").kernel, arrays["conv1/kernel"])
    tf_test.assertAllEqual(model.get_layer("dense1").kernel, kernel)


@pytest.mark.parametrize("name", ["dense1/bias", "logits/bias", "conv1/bias"])
def test_half_a_part_is_refused(model: keras.Model, arrays: Arrays, name: str) -> None:
    del arrays[name]
    with pytest.raises(RunError, match=f"no match for: {name}$"):
        set_weights(model, arrays, "weights.pth")


def test_a_classifier_for_other_classes_is_left_as_it_is(
    model: keras.Model, arrays: Arrays, tf_test: Any
) -> None:
    kernel = np.array(model.get_layer("logits").kernel)
    arrays["logits/kernel"] = np.zeros((4, 1000), "float32")
    arrays["logits/bias"] = np.zeros(1000, "float32")
    set_weights(model, arrays, "weights.pth")
    tf_test.assertAllEqual(model.get_layer("logits").kernel, kernel)
    tf_test.assertAllEqual(model.get_layer("dense1").kernel, arrays["dense1/kernel"])


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, np.float64(1e300), np.int64(1), np.complex64(1j), b"x", None]
)
def test_values_that_are_not_finite_floats_are_refused(
    model: keras.Model, arrays: Arrays, value: Any
) -> None:
    arrays["conv1/bias"] = np.array([value, value])
    with pytest.raises(RunError, match="not finite float32 numbers: conv1/bias"):
        set_weights(model, arrays, "weights.pth")


@pytest.mark.parametrize("dtype", ["float16", "float64", ml_dtypes.bfloat16])
def test_other_precisions_are_converted(
    model: keras.Model, arrays: Arrays, dtype: Any, tf_test: Any
) -> None:
    arrays["conv1/bias"] = np.array([0.5, -2], dtype)
    set_weights(model, arrays, "weights.pth")
    tf_test.assertAllEqual(model.get_layer("conv1").bias, [0.5, -2])


def test_one_number_is_of_another_shape(model: keras.Model, arrays: Arrays) -> None:
    arrays["dense1/kernel"] = np.array(1.0)
    with pytest.raises(RunError, match=r"of another shape: dense1/kernel \(\) for \(8, 4\)"):
        set_weights(model, arrays, "weights.pth")


def test_dense_layers_for_another_image_size_are_explained(
    model: keras.Model, arrays: Arrays
) -> None:
    arrays["dense1/kernel"] = np.zeros((32, 4), "float32")
    with pytest.raises(RunError, match=r"\(32, 4\) for \(8, 4\); .* one size .*`image_size=227`"):
        set_weights(model, arrays, "weights.npz")
