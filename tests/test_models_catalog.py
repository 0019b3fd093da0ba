import pkgutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfmodels.models.catalog import NETWORKS, build

BATCH_NORMS = {
    "vgg": 5,
    "airbench-small": 6,
    "airbench-medium": 6,
    "airbench-large": 6,
    "airbench-dense": 6,
    "mobilenetv2": 52,
    "mobilenetv3-small": 34,
    "resnet50v2": 49,
    "efficientnetv2-b0": 59,
    "convnext-tiny": 0,
    "alexnet": 0,
    "alexnet-bvlc": 0,
}


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the batch norms of a model and of those nested in it."""
    norms = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            norms += batch_norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            norms.append(layer)
    return norms


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_trains_at_its_smallest_size_and_is_the_same_after_saving(
    network: str, tf_test: Any, tmp_path: Path
) -> None:
    size = NETWORKS[network].smallest
    model = build(network, (40, 48, 3), 3, size)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 40, 48, 3), dtype="uint8")
    probabilities = np.array(model(pixels))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    tf_test.assertAllEqual(loaded(pixels), probabilities)
    norms, loaded_norms = batch_norms(model), batch_norms(loaded)
    assert len(norms) == len(loaded_norms) == BATCH_NORMS[network]
    # In runs of a few thousand steps, moving statistics must follow faster than Keras' 0.99.
    assert {norm.momentum for norm in norms + loaded_norms} <= {0.9, 0.6}
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(pixels, np.array([0, 2]), verbose=0)
    predictions = model.predict(pixels, verbose=0)
    for array in (probabilities, predictions):
        assert array.shape == (2, 3)
        assert array.dtype == np.float32
        tf_test.assertAllClose(array.sum(axis=1), np.ones(2))
    assert abs(predictions - probabilities).max() > 0
    assert model.get_layer("features").output.ndim == 2


@pytest.mark.parametrize(
    "network", [*(name for name, spec in NETWORKS.items() if spec.batch_norm), "alexnet"]
)
def test_whether_batch_norms_undo_the_scale_of_kernels(network: str) -> None:
    keras.utils.set_random_seed(0)
    size = NETWORKS[network].smallest
    model = build(network, (size, size, 3), 3, size)
    pixels = np.random.default_rng(0).integers(0, 256, (16, size, size, 3)).astype("float32")
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 0.0
    before = keras.ops.convert_to_numpy(model(pixels, training=True))
    for weight in model.trainable_variables:
        if len(weight.shape) == 4:
            weight.assign(64 * weight)  # a power of two: nothing is rounded
    change = abs(keras.ops.convert_to_numpy(model(pixels, training=True)) - before).max()
    assert (change < 1e-6) == NETWORKS[network].batch_norm, change


@pytest.mark.parametrize("network", NETWORKS)
def test_what_the_catalogue_names_exists(network: str) -> None:
    spec = NETWORKS[network]
    assert spec.image_size >= spec.smallest
    for name in (spec.builder, spec.prepare, spec.imagenet, *spec.formats.values()):
        assert not name or callable(pkgutil.resolve_name(name))
