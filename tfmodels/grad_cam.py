"""Grad-CAM: which parts of an image speak for a class, by the gradients of its score.

After Selvaraju et al. 2017 (arXiv:1610.02391), but the gradients count at each place, not by their
mean (HiResCAM: Draelos and Carin 2020, arXiv:2011.08891). Where the last maps are averaged, as in
MobileNetV2, both are the same; before dense layers, as in AlexNet, the mean loses the place.
"""

from collections.abc import Callable

import keras
import matplotlib as mpl
import numpy as np
from keras import ops

HEAT, OPACITY = "inferno", 0.6


def grad_cam(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return how much each pixel speaks for a class, (n, height, width) from 0 to 1.

    Where nothing speaks for the class it is 0 everywhere. The resolution is that of the last maps.

    Args:
        model: from pixels to probabilities, made of layers that are called once.
        images: (n, height, width, channels).
        classes: (n,) numbers.

    Raises:
        ValueError: the network has no maps.
    """
    # What a layer takes, as what a network within the network gives isn't connected to its input.
    taken = (layer.input for layer in reversed(model.layers))
    maps = next((tensor for tensor in taken if len(getattr(tensor, "shape", ())) == 4), None)
    if maps is None:
        raise ValueError(f"{model.name} has no maps of an image")
    last = model.layers[-1]
    scores = last.input if isinstance(last, keras.layers.Softmax) else ops.log(model.output)
    found = keras.Model(model.input, maps)(images, training=False)
    head = keras.Model(maps, scores)
    chosen = ops.one_hot(classes, scores.shape[-1])

    def score(maps: keras.KerasTensor) -> keras.KerasTensor:
        """Return the sum of the scores of the classes."""
        return ops.sum(ops.cast(head(maps, training=False), "float32") * chosen)

    spoken = ops.relu(ops.sum(ops.cast(_gradient(score, found) * found, "float32"), axis=-1))
    largest = ops.max(spoken, axis=(1, 2), keepdims=True)
    shares = spoken / ops.where(largest > 0, largest, 1.0)
    resized = ops.image.resize(shares[..., None], images.shape[1:3], interpolation="bilinear")
    pixels: np.ndarray = ops.convert_to_numpy(resized)[..., 0].clip(0, 1)
    return pixels


def overlay(images: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return images (n, height, width, 3) uint8 under the colours of `grad_cam`'s result."""
    heat = 255 * mpl.colormaps[HEAT](shares)[..., :3]
    mixed: np.ndarray = np.rint((1 - OPACITY) * images + OPACITY * heat).astype(np.uint8)
    return mixed


def _gradient(
    function: Callable[[keras.KerasTensor], keras.KerasTensor], x: keras.KerasTensor
) -> keras.KerasTensor:
    """Return the gradient of a function, which Keras leaves to its backend."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function)(x)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        total = function(x)
    return tape.gradient(total, x)
