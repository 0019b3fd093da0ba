from typing import Any

import numpy as np
import pytest

from tfmodels.config import Config
from tfmodels.errors import UsageError
from tfmodels.models.catalog import Architecture, build, network_spec


@pytest.mark.parametrize(
    ("name", "layers", "parameters"),
    [
        (
            "cnn-2conv-2pool-relu",
            "conv1 relu1 pool, conv1 relu1 pool",
            # weights and biases of 3 to 32 to 64 channels, then 8 x 8 x 64 to 256 to 10
            (27 * 32 + 32) + (288 * 64 + 64) + (4096 * 256 + 256) + (256 * 10 + 10),
        ),
        (
            "cnn-4conv-2pool-leaky-drop0.1-bn",
            "conv1 bn1 leaky1 conv2 bn2 leaky2 pool dropout, "
            "conv1 bn1 leaky1 conv2 bn2 leaky2 pool dropout",
            # four numbers a channel for each batch norm, and no biases
            27 * 32 + 288 * 32 + 288 * 64 + 576 * 64 + 4 * 192
            + 4096 * 256 + 4 * 256 + (256 * 10 + 10),
        ),
        (
            "cnn-5conv-3pool-tanh",
            "conv1 tanh1 pool, conv1 tanh1 conv2 tanh2 pool, conv1 tanh1 conv2 tanh2 pool",
            (27 * 32 + 32) + (288 * 64 + 64) + (576 * 64 + 64) + (576 * 128 + 128)
            + (1152 * 128 + 128) + (2048 * 256 + 256) + (256 * 10 + 10),
        ),
    ],
)  # fmt: skip
def test_the_name_says_the_layers(name: str, layers: str, parameters: int) -> None:
    model = build(name, (32, 32, 3), 10, 32)
    expected = [
        f"block{number}_{layer}"
        for number, block in enumerate(layers.split(", "), 1)
        for layer in block.split()
    ]
    assert [one.name for one in model.layers if one.name.startswith("block")] == expected
    assert model.count_params() == parameters
    assert (Config(model=name).image_size, network_spec(name).batch_norm) == (32, "-bn" in name)


def test_it_predicts_probabilities_at_its_smallest_size(tf_test: Any) -> None:
    model = build(
        "cnn-9conv-3pool-elu-drop0.5", (8, 9, 3), 4, network_spec("cnn-3conv-3pool-elu").smallest
    )
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), dtype="uint8")
    tf_test.assertAllClose(np.array(model(pixels)).sum(axis=1), np.ones(2))


@pytest.mark.parametrize(
    "name",
    [
        "cnn-2conv-3pool-relu",  # fewer convolutions than pooling layers
        "cnn-0conv-0pool-relu",
        "cnn-2conv-2pool-swish",
        "cnn-2conv-2pool-relu-drop0.10",  # two names for one network
        "cnn-2conv-2pool-relu-drop1.5",
        "cnn-2conv-2pool-relu-bn-drop0.1",
        "cnn",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"`model` is '{name}': it must be one of vgg, .* such as"):
        Config(model=name)


def test_an_architecture_is_found_by_its_name() -> None:
    architecture = Architecture(3, 1, "elu", 0.25, True)
    assert architecture.name == "cnn-3conv-1pool-elu-drop0.25-bn"
    assert network_spec(architecture.name).family == "CNN"
