import pkgutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfmodels.models.catalog import NETWORKS, build


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_trains_at_its_smallest_size_and_is_the_same_after_saving(
    network: str, tf_test: Any, tmp_path: Path
) -> None:
    size = NETWORKS[network].smallest
    model = build(network, (40, 48, 3), 3, size)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 40, 48, 3), dtype="uint8")
    probabilities = np.array(model(pixels))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    tf_test.assertAllEqual(loaded(pixels), probabilities)
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(pixels, np.array([0, 1, 2, 0]), batch_size=2, verbose=0)
    predictions = model.predict(pixels, batch_size=2, verbose=0)
    for array in (probabilities, predictions):
        assert array.shape == (4, 3)
        assert array.dtype == np.float32
        tf_test.assertAllClose(array.sum(axis=1), np.ones(4))
    assert abs(predictions - probabilities).max() > 0
    assert model.get_layer("features").output.ndim == 2


@pytest.mark.parametrize("network", NETWORKS)
def test_what_the_catalogue_names_exists(network: str) -> None:
    spec = NETWORKS[network]
    assert spec.image_size >= spec.smallest
    for name in (spec.builder, spec.imagenet, *spec.formats.values()):
        assert not name or callable(pkgutil.resolve_name(name))
