"""The networks that can be trained by name. A new one is an entry here and a module beside it.

Keras is imported when a network is built, not here: flags are checked against this catalogue.
"""

import dataclasses
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

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
        batch_norm: whether one follows each convolution, as Muon needs.
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


def build(
    name: str, input_shape: tuple[int, int, int], classes: int, image_size: int
) -> "keras.Model":
    """Build a network of the catalogue for images of `input_shape`, scaled to `image_size`."""
    builder = pkgutil.resolve_name(NETWORKS[name].builder)
    model: keras.Model = builder(input_shape, classes, image_size)
    return model
