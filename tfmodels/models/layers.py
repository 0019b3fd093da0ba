"""How weights start, where Keras' defaults differ from those of the studies' PyTorch."""

import keras


def torch_init() -> keras.initializers.Initializer:
    """PyTorch's default for kernels: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    A new one for each layer: an initializer draws its seed when it is made, so a shared
    one would start all layers from the same numbers, whatever the seed of the run.
    """
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")

@keras.saving.register_keras_serializable("tfmodels")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each value by a power of the energy of its neighbours along the channels.

    output = x / (bias + alpha * sum of x^2 over the 2 * depth_radius + 1 nearest channels)^beta,
    as in Krizhevsky, Sutskever and Hinton 2012, section 3.3, and equal to
    tf.nn.local_response_normalization. Caffe's alpha is for the sum, divided by its length.

    Args:
        depth_radius: channels to each side that count.
        bias, alpha, beta: see the formula.
    """

    def __init__(
        self,
        depth_radius: int = 5,
        bias: float = 1.0,
        alpha: float = 1.0,
        beta: float = 0.5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta

    def call(self, inputs):
        """Normalise maps (n, height, width, channels)."""
        radius, channels = self.depth_radius, inputs.shape[-1]
        squares = ops.pad(ops.square(inputs), [[0, 0]] * (len(inputs.shape) - 1) + [[radius] * 2])
        energy = sum(squares[..., i : i + channels] for i in range(2 * radius + 1))
        return inputs / ops.power(self.bias + self.alpha * energy, self.beta)

    def get_config(self):
        """What it takes to build the layer again."""
        names = ("depth_radius", "bias", "alpha", "beta")
        return super().get_config() | {name: getattr(self, name) for name in names}
