from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmodels.errors import UsageError
from tfmodels.models.alexnet import alexnet, alexnet_bvlc
from tfmodels.models.weights.alexnet import from_torchvision
from tfmodels.models.weights.setting import set_weights
from tfmodels.models.weights.torch_checkpoint import read_checkpoint

# torchvision.models.alexnet().features and .classifier, layer by layer.
FEATURES: list[tuple[Any, ...]] = [
    ("conv", 3, 64, 11, 4, 2),
    ("pool",),
    ("conv", 64, 192, 5, 1, 2),
    ("pool",),
    ("conv", 192, 384, 3, 1, 1),
    ("conv", 384, 256, 3, 1, 1),
    ("conv", 256, 256, 3, 1, 1),
    ("pool",),
]


@pytest.fixture(scope="module")
def torch_alexnet() -> Any:
    """torchvision's AlexNet with ten classes, written with PyTorch alone."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class AlexNet(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            features: list[Any] = []
            for kind, *sizes in FEATURES:
                if kind == "conv":
                    features += [nn.Conv2d(*sizes), nn.ReLU()]
                else:
                    features.append(nn.MaxPool2d(3, 2))
            self.features = nn.Sequential(*features)
            self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
            self.classifier = nn.Sequential(
                nn.Dropout(),
                nn.Linear(256 * 6 * 6, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Linear(4096, 10),
            )

        def forward(self, x: Any) -> Any:
            return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    torch.manual_seed(0)
    model = AlexNet().eval()
    for weights in model.parameters():  # with PyTorch's default, activations shrink to nothing
        if weights.ndim > 1:
            nn.init.kaiming_uniform_(weights, nonlinearity="relu")
    return model


@pytest.fixture(scope="module")
def converted(
    torch_alexnet: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """Its weights, converted from a checkpoint that PyTorch wrote."""
    import torch

    path = tmp_path_factory.mktemp("torch") / "alexnet.pth"
    torch.save(torch_alexnet.state_dict(), path)
    return from_torchvision(read_checkpoint(path, most=2**30))


@pytest.mark.parametrize("size", [63, 64, 96, 128, 224])
def test_alexnet_equals_pytorch_through_a_converted_checkpoint(
    torch_alexnet: Any, converted: dict[str, np.ndarray], size: int, tf_test: Any
) -> None:
    import torch

    model = alexnet((size, size, 3), 10, size)
    set_weights(model, converted, Path("alexnet.pth"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype("float32")
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = ((pixels / 255 - mean) / deviation).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = torch_alexnet(torch.tensor(normalized, dtype=torch.float32)).numpy()
    logits = keras.Model(model.input, model.get_layer("logits").output)
    tf_test.assertAllClose(logits.predict(pixels, verbose=0), expected, rtol=0, atol=1e-4)


def test_initial_activations_neither_vanish_nor_explode() -> None:
    model = alexnet((96, 96, 3), 10, 96)
    outputs = [model.get_layer(name).output for name in ("normalize", "conv5_relu", "dense2_relu")]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 96, 96, 3))
    start, middle, end = (float(np.std(x)) for x in keras.Model(model.input, outputs)(pixels))
    assert start / 10 < middle < 10 * start
    assert start / 10 < end < 10 * start


def test_alexnets_parameters() -> None:
    # torchvision's 61,100,840 for 1,000 classes; Keras' Normalization has no trainable ones.
    model = alexnet((224, 224, 3), 1000, 224)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 61_100_840


def test_bvlc_alexnets_maps_kernels_and_parameters() -> None:
    model = alexnet_bvlc((227, 227, 3), 1000, 227)
    shapes = {
        name: model.get_layer(name).output.shape[1:]
        for name in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")
    }
    assert shapes == {
        "conv1": (55, 55, 96),
        "pool1": (27, 27, 96),
        "conv2": (27, 27, 256),
        "pool2": (13, 13, 256),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
    }
    assert model.count_params() == 60_965_224  # Caffe's bvlc_alexnet
    kernels = {layer.name: layer.kernel.shape for layer in model.layers if layer.weights}
    assert kernels == {  # those of bvlc_alexnet.npy
        "conv1": (11, 11, 3, 96),
        "conv2": (5, 5, 48, 256),
        "conv3": (3, 3, 256, 384),
        "conv4": (3, 3, 192, 384),
        "conv5": (3, 3, 192, 256),
        "dense1": (9216, 4096),
        "dense2": (4096, 4096),
        "logits": (4096, 1000),
    }


def test_grouped_convolution_equals_split_convolve_concatenate(tf_test: Any) -> None:
    layer = alexnet_bvlc((67, 67, 3), 10, 67).get_layer("conv2")
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 96)).astype("float32")
    halves = [
        tf.nn.conv2d(
            x[..., 48 * i : 48 * (i + 1)], layer.kernel[..., 128 * i : 128 * (i + 1)], 1, "SAME"
        )
        for i in (0, 1)
    ]
    tf_test.assertAllClose(layer(x), tf.concat(halves, -1) + layer.bias, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("build", "smallest"), [(alexnet, 63), (alexnet_bvlc, 67)])
def test_the_smallest_size_works_and_the_next_is_refused(
    build: Callable[..., keras.Model], smallest: int
) -> None:
    model = build((64, 64, 3), 3, smallest)
    assert model.output.shape == (None, 3)
    with pytest.raises(
        UsageError, match=f"`image_size` is {smallest - 1}: .* a whole number from {smallest} up"
    ):
        build((64, 64, 3), 3, smallest - 1)


def test_grouped_convolutions_learn_on_a_cpu() -> None:
    model = alexnet_bvlc((67, 67, 3), 3, 67)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    before = np.array(model.get_layer("conv2").kernel)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 67, 67, 3), dtype="uint8")
    model.train_on_batch(pixels, np.array([0, 2]))
    change = abs(np.array(model.get_layer("conv2").kernel) - before)
    assert (change.max(axis=(0, 1, 2)) > 0).mean() > 0.5
