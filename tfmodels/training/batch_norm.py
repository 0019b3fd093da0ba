"""Batch norm in one pass, on TensorFlow: Keras' takes several, each over all of the maps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def fused_batch_norms(network: keras.Model) -> Iterator[None]:
    """Within it, Keras' batch norms of a network train by TensorFlow's fused operation.

    Results are the same to rounding, and networks are saved as ever: the layers remain, and only
    their class changes for a while. On other backends, which fuse by themselves, nothing does.
    """
    layers = [
        layer
        for layer in network._flatten_layers()
        if type(layer) is keras.layers.BatchNormalization and _is_fusible(layer)
    ]
    for layer in layers:
        layer.__class__ = FusedBatchNormalization
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = keras.layers.BatchNormalization


def _is_fusible(layer: keras.layers.BatchNormalization) -> bool:
    return (
        keras.backend.backend() == "tensorflow"
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.compute_dtype != "float64"
        and not (layer.synchronized or layer.renorm)
    )


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch norm of maps (n, height, width, channels) that trains in one pass."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise maps, and in training keep averages of their moments."""
        if not (training and self.trainable) or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        channels = inputs.shape[-1]
        ones, zeros = tf.ones(channels), tf.zeros(channels)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma) if self.scale else ones,
            offset=tf.convert_to_tensor(self.beta) if self.center else zeros,
            mean=zeros,
            variance=ones,
            epsilon=self.epsilon,
            is_training=True,
        )
        # TensorFlow's is the variance of the population, n / (n - 1) of the sample's.
        n = tf.cast(tf.size(inputs) // channels, tf.float32)
        variance *= tf.maximum(n - 1, 1) / n
        kept = self.momentum
        self.moving_mean.assign(self.moving_mean * kept + mean * (1 - kept))
        self.moving_variance.assign(self.moving_variance * kept + variance * (1 - kept))
        return outputs
