from typing import Any

import keras
import numpy as np
import pytest

from tfmodels.errors import UsageError
from tfmodels.models.airbench import prepare, whitening_kernel, with_identity
from tfmodels.models.catalog import build
from tfmodels.models.flop import forward_flop


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Images whose neighbouring pixels are alike."""
    noise = np.random.default_rng(0).normal(size=(200, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    return np.clip(128 + 50 * noise, 0, 255).astype(np.uint8)


def small(name: str = "airbench-small") -> keras.Model:
    keras.utils.set_random_seed(0)
    return build(name, (32, 32, 3), 10, 32)


def test_the_stem_whitens_and_each_filter_has_its_negative(images: np.ndarray) -> None:
    scaled = images / 64 - 2
    kernel = whitening_kernel(scaled, 4, 2, 20)
    np.testing.assert_array_equal(kernel[..., :10], -kernel[..., 10:])
    patches = np.lib.stride_tricks.sliding_window_view(scaled, (4, 4), axis=(1, 2))[:, ::2, ::2]
    outputs = np.einsum("nijcyx,yxcf->nijf", patches, kernel[..., :10]).reshape(-1, 10)
    np.testing.assert_allclose(outputs.T @ outputs / len(outputs), np.eye(10), atol=0.01)


def test_identity_kernels_pass_their_inputs_on(tf_test: Any) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype("float32")
    x = np.random.default_rng(1).normal(size=(2, 5, 5, 4)).astype("float32")
    y = keras.ops.conv(x, with_identity(kernel), padding="same")
    tf_test.assertAllClose(y[..., :4], x, atol=1e-6)
    np.testing.assert_array_equal(with_identity(kernel)[..., 4:], kernel[..., 4:])


@pytest.mark.parametrize("name", ["airbench-small", "airbench-dense"])
def test_prepare_sets_all_convolutions_and_the_stem_does_not_learn(
    name: str, images: np.ndarray
) -> None:
    model = small(name)
    before = model.get_weights()
    prepare(model, images)
    changed = {
        weight.path.split("/")[0]
        for weight, old in zip(model.weights, before, strict=True)
        if not np.array_equal(weight, old)
    }
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    assert changed == {layer.name for layer in model.layers if isinstance(layer, kinds)}
    assert not model.get_layer("stem").trainable_weights


def test_the_multiply_adds_counted_by_hand() -> None:
    stem = 16 * 16 * 48 * 48
    first = 8 * 8 * 48 * 64 + 4 * 4 * 64 * 128 + 2 * 2 * 128 * 256
    second = sum(side**2 * n * (9 + n) for side, n in ((8, 64), (4, 128), (2, 256)))
    assert forward_flop(small()) == 2 * (stem + first + second + 2 * 256 * 10)


def test_the_multiply_adds_of_dense_convolutions_counted_by_hand() -> None:
    stem = 31**2 * 2**2 * 3 * 24
    first = 31**2 * 9 * 24 * 64 + 15**2 * 64 * 256 + 7**2 * 256 * 256
    second = 9 * (15**2 * 64 * 64 + 7**2 * 256 * 256 + 3**2 * 256 * 256)
    assert forward_flop(small("airbench-dense")) == 2 * (stem + first + second + 2 * 256 * 10)


def test_only_the_small_network_pools_its_stem() -> None:
    sides = {
        size: build(f"airbench-{size}", (32, 32, 3), 10, 32).get_layer("group1_conv1").output.shape
        for size in ("small", "medium", "large")
    }
    assert {size: shape[1] for size, shape in sides.items()} == {
        "small": 8, "medium": 16, "large": 16,
    }  # fmt: skip


def test_depthwise_kernels_begin_near_the_identity(images: np.ndarray) -> None:
    model = small()
    prepare(model, images)
    for number in (1, 2, 3):
        kernel = np.array(model.get_layer(f"group{number}_depthwise").kernel)
        assert kernel[1, 1].mean() == pytest.approx(1, abs=0.05)
        assert 0 < abs(np.delete(kernel.reshape(9, -1), 4, axis=0)).max() <= 0.1


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="airbench-small needs a whole number from 16 up"):
        build("airbench-small", (32, 32, 3), 10, 12)
