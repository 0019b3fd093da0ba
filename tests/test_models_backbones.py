import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from tfmodels.errors import UsageError
from tfmodels.models.backbones import APPLICATIONS, imagenet_weights, mobilenetv2
from tfmodels.models.catalog import build
from tfmodels.models.weights.setting import named_weights


@pytest.fixture(scope="module")
def built() -> Callable[[str], keras.Model]:
    """A function that builds a network for three classes at 64 pixels, once."""
    return functools.cache(lambda network: build(network, (32, 32, 3), 3, 64))


@pytest.mark.parametrize(
    ("network", "parameters", "features"),
    [
        ("mobilenetv2", 2_257_984, 1280),
        ("mobilenetv3-small", 939_120, 576),
        ("resnet50v2", 23_564_800, 2048),
        ("efficientnetv2-b0", 5_919_312, 1280),
        ("convnext-tiny", 27_820_128, 768),
    ],
)
def test_parameters(
    built: Callable[[str], keras.Model], network: str, parameters: int, features: int
) -> None:
    model = built(network)
    # Those of keras.applications without the classifier.
    assert model.get_layer(network).count_params() == parameters
    assert model.count_params() == parameters + features * 3 + 3


@pytest.mark.parametrize(
    ("network", "module"),
    [
        ("mobilenetv2", keras.applications.mobilenet_v2),
        ("resnet50v2", keras.applications.resnet_v2),
    ],
)
def test_pixels_are_scaled_as_keras_applications_does(
    built: Callable[[str], keras.Model], tf_test: Any, network: str, module: Any
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    rescale = built(network).get_layer("rescale")
    tf_test.assertAllClose(rescale(pixels), module.preprocess_input(pixels.copy()), atol=1e-6)


@pytest.mark.parametrize("network", ["mobilenetv3-small", "efficientnetv2-b0", "convnext-tiny"])
def test_the_other_backbones_take_raw_pixels(
    built: Callable[[str], keras.Model], network: str
) -> None:
    backbone = built(network).get_layer(network)
    first = backbone.layers[1]
    assert isinstance(first, keras.layers.Rescaling | keras.layers.Normalization)
    scaled = np.array(first(np.array([[[[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]]]])))
    assert np.ptp(scaled) <= 5


def test_images_are_scaled_and_the_smallest_size_works() -> None:
    model = mobilenetv2((64, 64, 3), 3, 32)
    assert model.get_layer("mobilenetv2").output.shape == (None, 1, 1, 1280)
    with pytest.raises(UsageError, match="a whole number from 32 up"):
        mobilenetv2((64, 64, 3), 3, 31)


@pytest.mark.parametrize("network", APPLICATIONS)
def test_imagenet_weights_are_those_that_keras_downloads(
    built: Callable[[str], keras.Model],
    tf_test: Any,
    monkeypatch: pytest.MonkeyPatch,
    network: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = built(network)
    application = getattr(keras.applications, APPLICATIONS[network])
    downloaded = []

    def pretrained(weights: str, **kwargs: Any) -> keras.Model:
        """Stand in for Keras' download, with random numbers."""
        assert weights == "imagenet"
        print("Downloading")
        backbone = application(weights=None, **kwargs)
        rng = np.random.default_rng(0)
        backbone.set_weights([rng.random(w.shape, "float32") for w in backbone.get_weights()])
        downloaded.append(backbone)
        return backbone

    monkeypatch.setattr(keras.applications, APPLICATIONS[network], pretrained)
    arrays = imagenet_weights(model)
    assert capsys.readouterr().out == ""
    assert downloaded[0].input_shape == (None, 64, 64, 3)
    assert set(arrays) == set(named_weights(model)) - {"logits/kernel", "logits/bias"}
    model.get_layer(network).set_weights(downloaded[0].get_weights())
    for name, values in named_weights(model).items():
        if not name.startswith("logits"):
            tf_test.assertAllEqual(arrays[name], values)


@pytest.mark.parametrize("network", APPLICATIONS)
def test_weights_have_names_of_their_own(built: Callable[[str], keras.Model], network: str) -> None:
    model = built(network)
    assert len(named_weights(model)) == len(model.weights)
