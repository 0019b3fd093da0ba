"""Optimizers, learning rate schedules and losses, from Keras' own classes."""

from typing import Any

import keras
from keras import ops

from tfmodels.config import Config
from tfmodels.training.adam import Adam
from tfmodels.training.muon import Muon


def build_optimizer(config: Config, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a config, with its schedule where that is one of Keras' own.

    The schedule `step` is the study's callback, `callbacks.StepDecay`.
    """
    options: dict[str, Any] = {
        "learning_rate": _schedule(config, steps_per_epoch),
        "clipnorm": config.clip_norm,
        "use_ema": config.ema > 0,
        "ema_momentum": config.ema or 0.99,
    }
    if config.weight_decay is not None:
        options["weight_decay"] = config.weight_decay
    elif config.optimizer == "adamw":
        options["weight_decay"] = 0.004  # Keras' default
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=0.9, nesterov=True, **options)
    if config.optimizer == "muon":
        return Muon(**options)
    return Adam(epsilon=1e-8, **options)  # PyTorch's epsilon


def _schedule(
    config: Config, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if config.schedule in ("step", "constant"):
        return config.lr
    if config.schedule == "linear":
        return keras.optimizers.schedules.PolynomialDecay(
            config.lr, config.epochs * steps_per_epoch, end_learning_rate=0.0
        )
    warmup = config.warmup_epochs * steps_per_epoch
    steps = config.epochs * steps_per_epoch - warmup
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(config.lr, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=config.lr, warmup_steps=warmup
    )


@keras.saving.register_keras_serializable("tfmodels")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of whole-number labels with label smoothing, which Keras has for one-hot ones.

    Szegedy et al. 2016 (arXiv:1512.00567): the target is 1 - smoothing for the true class, plus
    smoothing / classes for each.
    """

    def __init__(
        self,
        smoothing: float,
        reduction: str = "sum_over_batch_size",
        name: str = "smoothed_crossentropy",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Return the loss (n,) of labels (n,) and probabilities (n, classes)."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        targets = ops.one_hot(labels, y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(
            targets, y_pred, label_smoothing=self.smoothing
        )

    def get_config(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        """Return what it takes to build the loss again."""
        return {"smoothing": self.smoothing, "reduction": self.reduction, "name": self.name}


def build_loss(config: Config, reduction: str = "sum_over_batch_size") -> keras.losses.Loss:
    """Return the cross-entropy of whole-number labels and probabilities, smoothed if asked for.

    Args:
        config: of the training.
        reduction: how the losses of a batch become one; see `keras.losses.Loss`.
    """
    if config.label_smoothing:
        return SmoothedCrossentropy(config.label_smoothing, reduction)
    return keras.losses.SparseCategoricalCrossentropy(reduction=reduction)
