"""Networks of keras.applications, with their preprocessing inside and a new classifier head.

All are built alike: scale the images, preprocess them as the network expects, apply the
backbone (the layer that is named like the network in the catalogue), average over all
positions, classify. At 32 pixels, Keras' minimum, the backbones' last map is 1 x 1.
"""

import contextlib
import functools
import sys

import keras
import numpy as np
from keras import layers

from tfmodels.models.catalog import NETWORKS
from tfmodels.models.layers import image_input
from tfmodels.models.weights.setting import named_weights

# Constructors in keras.applications, by the network's name in the catalogue.
APPLICATIONS = {
    "mobilenetv2": "MobileNetV2",  # width 1.0; Sandler et al. 2018, arXiv:1801.04381
    "mobilenetv3-small": "MobileNetV3Small",  # Howard et al. 2019, arXiv:1905.02244
    "resnet50v2": "ResNet50V2",  # ResNet-50 with pre-activation; He et al. 2016, arXiv:1603.05027
    "efficientnetv2-b0": "EfficientNetV2B0",  # Tan and Le 2021, arXiv:2104.00298
    # Liu et al. 2022, arXiv:2201.03545. Keras normalises the last map before the average over
    # all positions, the paper after it.
    "convnext-tiny": "ConvNeXtTiny",
}
EXPECT_MINUS_ONE_TO_ONE = ("mobilenetv2", "resnet50v2")  # the others preprocess pixels themselves


def backbone_classifier(
    network: str,
    input_shape: tuple[int, int, int] = (64, 64, 3),
    classes: int = 10,
    image_size: int | None = None,
    dropout: float = 0.2,
) -> keras.Model:
    """Build a network of keras.applications with a new classifier head.

    Keras gives the batch norms of MobileNets and ResNets a momentum of 0.99 to 0.999, meant for
    runs of a million steps: after a few thousand, their moving statistics are still those of the
    start of training. Here all have 0.9, PyTorch's, which the study used for MobileNetV2.

    Args:
        network: name in the catalogue.
        input_shape: height, width and channels of the raw images, values 0 to 255.
        classes: number of classes.
        image_size: side in pixels that images are scaled to, from 32 up; the
            catalogue's by default.
        dropout: dropout rate before the classifier.

    Returns:
        A functional model from (n, *input_shape) pixels to (n, classes) probabilities.

    Raises:
        UsageError: the image size is too small.
    """
    if image_size is None:
        image_size = NETWORKS[network].image_size
    inputs, x = image_input(network, input_shape, image_size)
    if network in EXPECT_MINUS_ONE_TO_ONE:
        x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(x)
    application = getattr(keras.applications, APPLICATIONS[network])
    backbone = application(
        input_shape=(image_size, image_size, 3), include_top=False, weights=None, name=network
    )
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9
    x = backbone(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=f"{network}_classifier")


# The builders that the catalogue names.
mobilenetv2 = functools.partial(backbone_classifier, "mobilenetv2")
mobilenetv3_small = functools.partial(backbone_classifier, "mobilenetv3-small")
resnet50v2 = functools.partial(backbone_classifier, "resnet50v2")
efficientnetv2_b0 = functools.partial(backbone_classifier, "efficientnetv2-b0")
convnext_tiny = functools.partial(backbone_classifier, "convnext-tiny")


def imagenet_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the ImageNet weights of a network's backbone by `layer/weight`.

    Keras downloads them once and keeps them in ~/.keras/models.

    Raises:
        Exception: the download fails.
    """
    (backbone,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
    application = getattr(keras.applications, APPLICATIONS[backbone.name])
    with contextlib.redirect_stdout(sys.stderr):  # Keras' progress
        pretrained = application(
            input_shape=backbone.input_shape[1:], include_top=False, weights="imagenet"
        )
    # By order: Keras derives the names of ConvNeXt's layers from the model's, or counts them.
    return dict(zip(named_weights(backbone), named_weights(pretrained).values(), strict=True))
