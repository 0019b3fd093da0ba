from typing import Any

import numpy as np
import pytest

from tfmodels.models import catalog
from tfmodels.models.parts import classifier_head, feature_extractor


@pytest.mark.parametrize("network", ["vgg", "mobilenetv2"])
def test_the_parts_in_a_row_are_the_network(tf_test: Any, network: str) -> None:
    model = catalog.build(network, (32, 32, 3), 3, 32)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    features = feature_extractor(model)(pixels)
    assert features.ndim == 2
    tf_test.assertAllClose(classifier_head(model)(features), model(pixels))


def test_the_parts_share_the_networks_weights() -> None:
    model = catalog.build("vgg", (8, 8, 3), 3, 8)
    head = classifier_head(model)
    assert [w.path for w in head.weights] == [w.path for w in model.weights[-len(head.weights) :]]
    head.get_layer("logits").bias.assign(np.array([1, 2, 3]))
    assert list(model.get_layer("logits").get_weights()[1]) == [1, 2, 3]
