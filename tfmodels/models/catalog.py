"""The networks that can be trained by name. A new one is an entry here and a module beside it.

Keras is imported when a network is built, not here: flags are checked against this catalogue.
"""

import dataclasses
import functools
import pkgutil
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfmodels.errors import UsageError

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """What the command line and the builders need to know of a network before it is built.

    Attributes:
        builder: `module:function` that takes `input_shape`, `classes` and `image_size`, and
            returns a functional model from (n, *input_shape) pixels, 0 to 255, to (n, classes)
            probabilities, with a layer `features` where its classifier head begins.
        image_size: default side in pixels that images are scaled to.
        smallest: the smallest image size at which no feature map shrinks to nothing.
        family: the kind of network, for fusions of networks of different kinds.
        batch_norm: whether one follows each convolution, so that Muon keeps what weights do.
        prepare: `module:function` that takes the model and training images, and sets weights that
            start from the data; empty where all start at random.
        imagenet: `module:function` that takes the model and returns its ImageNet weights by
            `layer/weight`; empty where there is no download.
        formats: file ending -> `module:function` that takes a path and the bytes that its weights
            may take, and returns weights by `layer/weight`; files of Keras are read for every
            network.
    """

    builder: str
    image_size: int
    smallest: int
    family: str
    batch_norm: bool = False
    prepare: str = ""
    imagenet: str = ""
    formats: Mapping[str, str] = dataclasses.field(default_factory=dict)


_TORCHVISION = {
    ending: f"tfmodels.models.weights.alexnet:read_{name}"
    for ending, name in (
        (".pth", "checkpoint"),
        (".safetensors", "safetensors"),
        (".npz", "npz"),
    )
}
_BACKBONES = "tfmodels.models.backbones"
_KERAS_IMAGENET = f"{_BACKBONES}:imagenet_weights"

NETWORKS = {
    "vgg": NetworkSpec(
        "tfmodels.models.vgg:vgg", image_size=32, smallest=4, family="VGG", batch_norm=True
    ),
    **{
        name: NetworkSpec(
            f"tfmodels.models.airbench:{function}",
            image_size=32,
            smallest=16,
            family="VGG",
            batch_norm=True,
            prepare="tfmodels.models.airbench:prepare",
        )
        for name, function in (
            ("airbench-small", "small"),
            ("airbench-medium", "medium"),
            ("airbench-large", "large"),
            ("airbench-dense", "dense"),
        )
    },
    "mobilenetv2": NetworkSpec(
        f"{_BACKBONES}:mobilenetv2",
        image_size=96,
        smallest=32,
        family="MobileNet",
        batch_norm=True,
        imagenet=_KERAS_IMAGENET,
    ),
    "mobilenetv3-small": NetworkSpec(
        f"{_BACKBONES}:mobilenetv3_small",
        image_size=96,
        smallest=32,
        family="MobileNet",
        imagenet=_KERAS_IMAGENET,
    ),
    "resnet50v2": NetworkSpec(
        f"{_BACKBONES}:resnet50v2",
        image_size=96,
        smallest=32,
        family="ResNet",
        imagenet=_KERAS_IMAGENET,
    ),
    "efficientnetv2-b0": NetworkSpec(
        f"{_BACKBONES}:efficientnetv2_b0",
        image_size=96,
        smallest=32,
        family="EfficientNet",
        imagenet=_KERAS_IMAGENET,
    ),
    "convnext-tiny": NetworkSpec(
        f"{_BACKBONES}:convnext_tiny",
        image_size=96,
        smallest=32,
        family="ConvNeXt",
        imagenet=_KERAS_IMAGENET,
    ),
    "alexnet": NetworkSpec(
        "tfmodels.models.alexnet:alexnet",
        image_size=128,
        smallest=63,
        family="AlexNet",
        imagenet="tfmodels.models.weights.alexnet:torchvision_weights",
        formats=_TORCHVISION,
    ),
    "alexnet-bvlc": NetworkSpec(
        "tfmodels.models.alexnet:alexnet_bvlc",
        image_size=131,
        smallest=67,
        family="AlexNet",
        formats={
            ".npy": "tfmodels.models.weights.alexnet:read_bvlc",
            ".npz": "tfmodels.models.weights.alexnet:read_npz",
        },
    ),
}


ACTIVATIONS = ("relu", "leaky", "elu", "tanh")
CNN_IMAGE_SIZE = 32
MOST_CONVOLUTIONS, MOST_POOLING = 9, 3


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The layers of a CNN as the study searched by hand.

    Attributes:
        convolutions: how many there are, at least one before each pooling layer.
        pooling: how many layers of max-pooling there are.
        activation: one of `ACTIVATIONS`.
        dropout: rate after each pooling layer and after the hidden dense layer; 0: none.
        batch_norm: whether one follows each convolution and the hidden dense layer.
    """

    convolutions: int
    pooling: int
    activation: str
    dropout: float = 0.0
    batch_norm: bool = False

    @property
    def name(self) -> str:
        """The network's name, by which it is found again."""
        parts = f"cnn-{self.convolutions}conv-{self.pooling}pool-{self.activation}"
        dropout = f"-drop{self.dropout:.3g}" if self.dropout else ""
        return f"{parts}{dropout}{'-bn' if self.batch_norm else ''}"


def is_network(name: str) -> bool:
    """Return whether there is a network of that name."""
    return name in NETWORKS or _architecture(name) is not None


def network_spec(name: str) -> NetworkSpec:
    """Return the entry of a network of the catalogue, or that of a CNN by its architecture's name.

    Raises:
        UsageError: there is no network of that name.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    architecture = _architecture(name)
    if architecture is None:
        raise UsageError(
            f"`model` is {name!r}: it must be one of {', '.join(NETWORKS)}, or the name of a CNN "
            "such as cnn-4conv-2pool-leaky-drop0.1-bn"
        )
    return NetworkSpec(
        "tfmodels.models.cnn:cnn",
        image_size=CNN_IMAGE_SIZE,
        smallest=2**MOST_POOLING,
        family="CNN",
        batch_norm=architecture.batch_norm,
    )


def _architecture(name: str) -> Architecture | None:
    """Return what the name of a CNN says; None if it isn't one."""
    pattern = r"cnn-(\d)conv-(\d)pool-([a-z]+)(?:-drop(0\.\d{1,3}))?(-bn)?"
    found = re.fullmatch(pattern, name)
    if found is None:
        return None
    convolutions, pooling, activation, dropout, batch_norm = found.groups()
    architecture = Architecture(
        int(convolutions), int(pooling), activation, float(dropout or 0), bool(batch_norm)
    )
    fits = 1 <= architecture.pooling <= min(MOST_POOLING, architecture.convolutions)
    fits = fits and architecture.convolutions <= MOST_CONVOLUTIONS
    fits = fits and activation in ACTIVATIONS and architecture.name == name
    return architecture if fits else None


def build(
    name: str, input_shape: tuple[int, int, int], classes: int, image_size: int
) -> "keras.Model":
    """Build a network of the catalogue for images of `input_shape`, scaled to `image_size`."""
    builder = pkgutil.resolve_name(network_spec(name).builder)
    architecture = _architecture(name)
    if architecture:
        builder = functools.partial(builder, name, architecture)
    model: keras.Model = builder(input_shape, classes, image_size)
    return model
