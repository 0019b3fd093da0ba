"""MobileNetV2 from keras.applications, with its preprocessing inside and a new head."""

import keras
from keras import layers

from tfmodels.config import ARCHITECTURES, check_image_size


def mobilenetv2(
    input_shape: tuple[int, int, int] = (64, 64, 3),
    classes: int = 10,
    image_size: int = ARCHITECTURES["mobilenetv2"].image_size,
    dropout: float = 0.2,
) -> keras.Model:
    """Build MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), width 1.0.

    The layer `mobilenetv2` is the backbone, without its classifier; dropout before the new
    one as in the paper's training code.

    Keras gives its batch norms a momentum of 0.999, made for runs of a million steps: after
    a few thousand their moving statistics still hold where training began. Here they have
    0.9, PyTorch's, at which the network was repeated in the study.

    Args:
        input_shape: height, width and channels of the raw pictures, values 0 to 255.
        classes: number of classes.
        image_size: side in pixels that pictures are scaled to, from 32 up.
        dropout: dropout rate before the classifier.

    Returns:
        A functional model from (n, *input_shape) pixels to (n, classes) probabilities.

    Raises:
        UsageError: the image size is too small.
    """
    check_image_size("mobilenetv2", image_size)
    inputs = keras.Input(input_shape, name="pixels")
    x = layers.Resizing(image_size, image_size, name="resize")(inputs)
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(x)
    backbone = keras.applications.MobileNetV2(
        input_shape=(image_size, image_size, 3),
        include_top=False,
        weights=None,
        name="mobilenetv2",
    )
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9
    x = backbone(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="mobilenetv2_classifier")
