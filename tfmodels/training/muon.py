"""Muon: gradient descent whose step for each convolution is an orthogonal matrix."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfmodels.training.adam import Adam

# Of the quintic polynomial whose iteration brings all singular values near 1 in few steps.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@keras.saving.register_keras_serializable("tfmodels")
class Muon(Adam):
    """Muon for kernels of 2-D convolutions, but depthwise ones, and Adam for all other variables.

    The momentum of a kernel, as a matrix of a row for each output channel, is replaced by the
    nearest orthogonal matrix, roughly, so that each step moves all directions alike. Before each
    step the kernel is scaled to the norm sqrt(output channels). A batch norm after the convolution
    undoes that; without one, trained weights would be spoilt, and training from scratch starts
    from kernels of that norm, which AlexNet learns from (docs/RESULTS.md). After Jordan 2024
    (kellerjordan.github.io/posts/muon) and airbench94_muon
    (github.com/KellerJordan/cifar10-airbench). `keras.optimizers.Muon` leaves convolutions to
    AdamW.

    Args:
        learning_rate: of the kernels.
        adam_rate: learning rate of the other variables, as a multiple of that of the kernels.
        momentum: Nesterov momentum of the kernels.
        steps: of the Newton-Schulz iteration.
        **kwargs: of `keras.optimizers.Adam`, for the other variables.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.24,
        adam_rate: float = 0.2,
        momentum: float = 0.6,
        steps: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **({"beta_2": 0.99, "epsilon": 1e-8} | kwargs))
        self.adam_rate, self.momentum, self.steps = adam_rate, momentum, steps

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: Any
    ) -> None:
        """Update one variable."""
        if len(variable.shape) != 4 or variable.shape[-1] == 1:  # a row has but one direction
            super().update_step(gradient, variable, self.adam_rate * learning_rate)
            return
        average = self._momentums[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(average, self.momentum * average + gradient)
        step = orthogonal(gradient + self.momentum * average, self.steps)
        norm = ops.norm(ops.reshape(variable, (-1,)))
        kernel = variable * (variable.shape[-1] ** 0.5 / ops.maximum(norm, 1e-7))
        self.assign(variable, kernel - ops.cast(learning_rate, variable.dtype) * step)

    def get_config(self) -> dict[str, Any]:
        """Return what it takes to build the optimizer again."""
        names = ("adam_rate", "momentum", "steps")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def orthogonal(kernel: keras.KerasTensor, steps: int) -> keras.KerasTensor:
    """Return about the nearest orthogonal matrix of a kernel (height, width, inputs, outputs).

    The kernel counts as a matrix of a row for each output. `steps` of the Newton-Schulz iteration
    on it, divided by its norm, bring its singular values near 1 (0.7 to 1.2 after five).
    """
    a, b, c = COEFFICIENTS
    shape: Sequence[int] = kernel.shape
    matrix = ops.reshape(kernel, (-1, shape[-1]))
    wide = matrix.shape[0] < shape[-1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return ops.reshape(x if wide else ops.transpose(x), shape)
