"""AlexNet in two versions: torchvision's, and Caffe's with the grouped convolutions of 2012."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from tfmodels.models.catalog import NETWORKS
from tfmodels.models.layers import LocalResponseNormalization, image_input, torch_init


def alexnet(
    input_shape: tuple[int, int, int] = (64, 64, 3),
    classes: int = 10,
    image_size: int = NETWORKS["alexnet"].image_size,
    dropout: float = 0.5,
) -> keras.Model:
    """Build torchvision's AlexNet: 64-192-384-256-256 filters, 4096-4096 units.

    After Krizhevsky 2014 (arXiv:1404.5997). With the same weights its outputs equal those of
    torchvision.models.alexnet to 1e-4 at any size. Weights are initialized after He et al. 2015
    (arXiv:1502.01852), for ReLU: with PyTorch's default, activations shrink from layer to layer
    and training makes no progress in the first epochs (docs/RESULTS.md).

    Args:
        input_shape: height, width and channels of the raw images, values 0 to 255.
        classes: number of classes.
        image_size: side in pixels that images are scaled to, from 63 up; 224 in the paper.
        dropout: dropout rate before both hidden dense layers.

    Returns:
        A functional model from (n, *input_shape) pixels to (n, classes) probabilities.

    Raises:
        UsageError: the image size is too small.
    """
    inputs, x = image_input("alexnet", input_shape, image_size)
    # torchvision's normalisation, for pixels from 0 to 255.
    x = layers.Normalization(
        mean=[255 * mean for mean in (0.485, 0.456, 0.406)],
        variance=[(255 * deviation) ** 2 for deviation in (0.229, 0.224, 0.225)],
        name="normalize",
    )(x)
    x = layers.ZeroPadding2D(2, name="conv1_pad")(x)
    x = _convolution(x, 64, 11, "conv1", strides=4, padding="valid")
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = _convolution(x, 192, 5, "conv2")
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    x = _convolution(x, 384, 3, "conv3")
    x = _convolution(x, 256, 3, "conv4")
    x = _convolution(x, 256, 3, "conv5")
    x = layers.MaxPooling2D(3, 2, name="pool5")(x)
    # Below 95 pixels the map is 1 x 1, for which Keras 3.15's adaptive pooling fails in `fit`.
    adapt = layers.UpSampling2D if x.shape[1] == 1 else layers.AdaptiveAveragePooling2D
    x = adapt(6, name="adaptive_pool")(x)
    x = layers.Flatten(name="features")(x)
    return keras.Model(
        inputs, _head(x, classes, dropout, keras.initializers.HeUniform), name="alexnet"
    )


def alexnet_bvlc(
    input_shape: tuple[int, int, int] = (64, 64, 3),
    classes: int = 10,
    image_size: int = NETWORKS["alexnet-bvlc"].image_size,
    dropout: float = 0.5,
) -> keras.Model:
    """Build Caffe's reference AlexNet (bvlc_alexnet), the architecture of 2012.

    After Krizhevsky, Sutskever and Hinton 2012: grouped convolutions 2, 4 and 5, local
    response normalisation, 96-256-384-384-256 filters, 227 pixels.

    Args:
        input_shape: height, width and channels of the raw images, values 0 to 255, RGB.
        classes: number of classes.
        image_size: side in pixels that images are scaled to, from 67 up.
        dropout: dropout rate before both hidden dense layers.

    Returns:
        A functional model from (n, *input_shape) pixels to (n, classes) probabilities.

    Raises:
        UsageError: the image size is too small.
    """
    inputs, x = image_input("alexnet-bvlc", input_shape, image_size)
    x = layers.Rescaling(1, offset=[-122.68, -116.67, -104.01], name="normalize")(x)
    x = _convolution(x, 96, 11, "conv1", strides=4, padding="valid")
    x = LocalResponseNormalization(2, alpha=2e-5, beta=0.75, name="norm1")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = _convolution(x, 256, 5, "conv2", groups=2)
    x = LocalResponseNormalization(2, alpha=2e-5, beta=0.75, name="norm2")(x)
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    x = _convolution(x, 384, 3, "conv3")
    x = _convolution(x, 384, 3, "conv4", groups=2)
    x = _convolution(x, 256, 3, "conv5", groups=2)
    x = layers.MaxPooling2D(3, 2, name="pool5")(x)
    x = layers.Flatten(name="features")(x)
    return keras.Model(inputs, _head(x, classes, dropout, torch_init), name="alexnet_bvlc")


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    name: str,
    padding: str = "same",
    **kwargs: Any,
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, size, padding=padding, kernel_initializer="he_uniform", name=name, **kwargs
    )(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _head(
    x: keras.KerasTensor,
    classes: int,
    dropout: float,
    init: Callable[[], keras.initializers.Initializer],
) -> keras.KerasTensor:
    for number in (1, 2):
        x = layers.Dropout(dropout, name=f"dense{number}_dropout")(x)
        x = layers.Dense(4096, kernel_initializer=init(), name=f"dense{number}")(x)
        x = layers.ReLU(name=f"dense{number}_relu")(x)
    x = layers.Dense(classes, kernel_initializer=torch_init(), name="logits")(x)
    return layers.Softmax(dtype="float32", name="probabilities")(x)
