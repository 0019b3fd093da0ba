"""Layers and initializers that Keras lacks, and the input that all networks share."""

from typing import Any

import keras
from keras import layers, ops

from tfmodels.errors import UsageError
from tfmodels.models.catalog import network_spec


def image_input(
    network: str, input_shape: tuple[int, int, int], image_size: int
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the input `pixels` of a network, and the same scaled to its image size.

    Args:
        network: the network's name in the catalogue, for the smallest size.
        input_shape: height, width and channels of the raw images.
        image_size: side in pixels to scale to; images of that size are left alone.

    Raises:
        UsageError: the image size is too small for the network.
    """
    smallest = network_spec(network).smallest
    if image_size < smallest:
        raise UsageError(
            f"`image_size` is {image_size}: {network} needs a whole number from {smallest} up"
        )
    inputs = keras.Input(input_shape, name="pixels")
    if tuple(input_shape[:2]) == (image_size, image_size):
        return inputs, inputs
    # Keras 3.15's Resizing takes training=True as its default and hands it on: without the False
    # here, model(images) would apply dropout and train the batch norms. `fit` overrides it.
    return inputs, layers.Resizing(image_size, image_size, name="resize")(inputs, training=False)


def torch_init() -> keras.initializers.Initializer:
    """Return PyTorch's default for kernels: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Each layer needs its own: an initializer draws its seed when it is created, so a shared one
    would give all layers the same random numbers.
    """
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


@keras.saving.register_keras_serializable("tfmodels")
class LocalResponseNormalization(layers.Layer):
    """Divide each value by a power of the energy of its neighbours along the channels.

    output = x / (bias + alpha * sum of x^2 over the 2 * depth_radius + 1 nearest channels)^beta,
    as in Krizhevsky, Sutskever and Hinton 2012, section 3.3, and equal to
    tf.nn.local_response_normalization. Caffe's alpha is that of the mean: 2 * depth_radius + 1
    times larger.

    Args:
        depth_radius: number of channels on each side that are summed.
        bias: see the formula.
        alpha: see the formula.
        beta: see the formula.
        **kwargs: of every layer.
    """

    def __init__(
        self,
        depth_radius: int = 5,
        bias: float = 1.0,
        alpha: float = 1.0,
        beta: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Normalise maps (n, height, width, channels)."""
        radius, channels = self.depth_radius, inputs.shape[-1]
        squares = ops.pad(ops.square(inputs), [[0, 0]] * (len(inputs.shape) - 1) + [[radius] * 2])
        energy = sum(squares[..., i : i + channels] for i in range(2 * radius + 1))
        return inputs / ops.power(self.bias + self.alpha * energy, self.beta)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, for saving."""
        names = ("depth_radius", "bias", "alpha", "beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
