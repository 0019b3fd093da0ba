"""Adam in one pass over its variables, on TensorFlow: Keras' takes about ten."""

from typing import Any

import keras


class Adam(keras.optimizers.Adam):
    """Keras' Adam, which on TensorFlow updates each variable by one fused operation.

    Kingma and Ba 2015 (arXiv:1412.6980). Variables are Keras', and results too, to rounding;
    without `amsgrad`. On other backends, which fuse by themselves, it is Keras' own.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        if keras.backend.backend() != "tensorflow" or variable.dtype != "float32":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )
