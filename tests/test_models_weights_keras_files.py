import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfmodels.models import catalog
from tfmodels.models.weights.keras_files import read_keras
from tfmodels.models.weights.setting import named_weights

FILES = ["x.weights.h5", "x.keras"]
MOST = 2**28  # bytes that weights may take


@pytest.fixture(scope="module")
def build() -> Callable[[str, int], keras.Model]:
    """A function that builds a network at 32 pixels, once for each size of the images."""
    return functools.cache(lambda network, size: catalog.build(network, (size, size, 3), 3, 32))


def randomized(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(weight.shape, "float32") for weight in model.get_weights()])
    return model


def trained(model: keras.Model) -> keras.Model:
    """Compile the model, so that its files hold the state of an optimizer."""
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(5)
    return model


def save(model: keras.Model, path: Path) -> None:
    model.save(path) if path.suffix == ".keras" else model.save_weights(path)


@pytest.mark.parametrize(
    ("network", "file"),
    [
        ("vgg", "x.weights.h5"),
        ("vgg", "x.keras"),
        ("airbench-small", "x.keras"),
        ("mobilenetv2", "x.weights.h5"),
        ("mobilenetv2", "x.keras"),
        ("convnext-tiny", "x.weights.h5"),  # its layers lie in models within the backbone
    ],
)
def test_a_networks_own_file_gives_every_weight_back(
    build: Callable[[str, int], keras.Model],
    network: str,
    file: str,
    tmp_path: Path,
    tf_test: Any,
) -> None:
    saved = trained(randomized(build(network, 32)))
    save(saved, tmp_path / file)
    arrays = read_keras(tmp_path / file, build(network, 40), MOST)
    assert len(arrays) == len(saved.weights)
    # By place: Keras counts the layers that it names itself.
    for array, expected in zip(arrays.values(), named_weights(saved).values(), strict=True):
        tf_test.assertAllEqual(array, expected)


def test_reading_leaves_the_model_as_it_was(tmp_path: Path, tf_test: Any) -> None:
    path = tmp_path / "x.weights.h5"
    trained(randomized(catalog.build("vgg", (8, 8, 3), 3, 8))).save_weights(path)
    model = trained(catalog.build("vgg", (8, 8, 3), 3, 8))
    model.optimizer.iterations.assign(2)
    before = [np.array(variable) for variable in model.variables]
    read_keras(path, model, MOST)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(OSError, match="truncated"):
        read_keras(path, model, MOST)
    for variable, value in zip(model.variables, before, strict=True):
        tf_test.assertAllEqual(variable, value)
    assert int(model.optimizer.iterations) == 2


@pytest.fixture(scope="module")
def application() -> keras.Model:
    return randomized(
        keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None)
    )


@pytest.mark.parametrize("file", FILES)
def test_keras_applications_own_file_without_a_classifier(
    build: Callable[[str, int], keras.Model],
    application: keras.Model,
    file: str,
    tmp_path: Path,
    tf_test: Any,
) -> None:
    save(application, tmp_path / file)
    model = build("mobilenetv2", 40)
    arrays = read_keras(tmp_path / file, model, MOST)
    assert set(arrays) == set(named_weights(model)) - {"logits/kernel", "logits/bias"}
    for name, value in named_weights(application).items():
        tf_test.assertAllEqual(arrays[name], value)


def test_a_classifier_for_other_classes_is_not_read(tmp_path: Path) -> None:
    catalog.build("vgg", (8, 8, 3), 5, 8).save_weights(tmp_path / "x.weights.h5")
    model = catalog.build("vgg", (8, 8, 3), 3, 8)
    arrays = read_keras(tmp_path / "x.weights.h5", model, MOST)
    assert set(named_weights(model)) - set(arrays) == {"logits/kernel", "logits/bias"}
