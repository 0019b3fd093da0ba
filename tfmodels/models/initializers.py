"""How weights start, where Keras' defaults differ from those of the studies' PyTorch."""

import keras


def torch_init() -> keras.initializers.Initializer:
    """PyTorch's default for kernels: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    A new one for each layer: an initializer draws its seed when it is made, so a shared
    one would start all layers from the same numbers, whatever the seed of the run.
    """
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
