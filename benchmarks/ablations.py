"""Change one thing of `instant` at a time, and print the accuracy on CIFAR-10's validation images.

    python -m benchmarks.ablations --data-dir FOLDER --seeds 3

Each row is as many runs as there are seeds, of the same compute where it doesn't say otherwise.
The gain is that over the recipe with the same seed, by the recipe's views.
"""

import argparse
import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import keras
import numpy as np
from keras import ops

from tfmodels.config import Config
from tfmodels.data.augmentation import MIRROR, Augment, crop_and_flip
from tfmodels.data.images import ImageData, load_data
from tfmodels.data.pipeline import steps_per_epoch, training_batches
from tfmodels.evaluation import evaluate
from tfmodels.experiment import build_network
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table
from tfmodels.training import muon
from tfmodels.training.batch_norm import fused_batch_norms
from tfmodels.training.fit import predict
from tfmodels.training.optimizers import SmoothedCrossentropy, build_loss, build_optimizer


class Lookahead(keras.callbacks.Callback):
    """Pull the weights back to their moving average every five steps, ever harder (airbench94)."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.decays = 0.95**5 * (np.arange(1, steps + 1) / steps) ** 3
        self.decays[-1] = 1

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start the average."""
        self.averages = [np.array(weight) for weight in self.model.trainable_variables]

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Move average and weights."""
        if (batch + 1) % 5 and batch + 1 < len(self.decays):
            return
        decay = self.decays[batch]
        for index, weight in enumerate(self.model.trainable_variables):
            average = decay * self.averages[index] + (1 - decay) * np.array(weight)
            weight.assign(average)
            self.averages[index] = average


@keras.saving.register_keras_serializable("benchmarks")
class HardestHalf(SmoothedCrossentropy):
    """The loss of the half of each batch that has the largest."""

    def call(self, y_true, y_pred):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Return twice the loss (n,) of the hardest half, and 0 for the others."""
        losses = super().call(y_true, y_pred)  # type: ignore[no-untyped-call]
        median = ops.median(losses)
        return ops.where(losses >= median, 2 * losses, 0)


def mirror_at_random(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Vary images as ever, but mirror by a number that is new in each epoch."""
    numbers[:, MIRROR] = numbers[:, MIRROR + 1]
    return crop_and_flip(images, numbers)


# What differs from the recipe: settings of the config, arguments of `train`, Muon's coefficients.
CHANGES: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "mirrored at random, not in turn": {"train": {"augment": mirror_at_random}},
    "no augmentation": {"train": {"augment": None}},
    "label smoothing 0": {"settings": {"label_smoothing": 0.0}},
    "label smoothing 0.1": {"settings": {"label_smoothing": 0.1}},
    "rate falls by a cosine": {"settings": {"schedule": "cosine"}},
    "moving average of the weights, 0.9": {"settings": {"ema": 0.9}},
    "lookahead": {"train": {"lookahead": True}},
    "batches of 250, 500, 750": {"train": {"batches": (250, 500, 750)}},
    "batches of 750, 500, 250": {"train": {"batches": (750, 500, 250)}},
    "hardest half of each batch, 3.6 epochs": {"train": {"hardest": True, "batches": (500,) * 4}},
    "momentum 0.4": {"train": {"optimizer": {"momentum": 0.4}}},
    "momentum 0.8": {"train": {"optimizer": {"momentum": 0.8}}},
    "one Newton-Schulz step": {"train": {"optimizer": {"steps": 1}}},
    "five Newton-Schulz steps": {"train": {"optimizer": {"steps": 5}}},
    "six of 1.5 x - 0.5 x³": {
        "train": {"optimizer": {"steps": 6}},
        "coefficients": (1.5, -0.5, 0.0),
    },
    "Adam's rate doubled": {"train": {"optimizer": {"adam_rate": 0.4}}},
}


def train(
    data: ImageData,
    config: Config,
    optimizer: Mapping[str, float] = {},
    augment: Augment | None = crop_and_flip,
    batches: Sequence[int] = (500,) * 3,
    lookahead: bool = False,
    hardest: bool = False,
) -> float:
    """Train, and return the mean class accuracy on validation images, in percent.

    Args:
        data: images and splits.
        config: of the training.
        optimizer: attributes of Muon that differ.
        augment: how to vary images.
        batches: images of a batch, for each epoch.
        lookahead: whether to pull weights back to their average.
        hardest: whether only the hardest half of each batch counts; 3.6 epochs cost as much as
            three of all if the easy ones only go forward.
    """
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    model = build_network(config, data)
    steps = [steps_per_epoch(data.train, size) for size in batches]
    total = round(3.6 * steps[0]) if hardest else sum(steps)
    built = build_optimizer(config, -(-total // config.epochs))
    for name, value in optimizer.items():
        setattr(built, name, value)
    loss = HardestHalf(config.label_smoothing) if hardest else build_loss(config)
    model.compile(built, loss)
    epochs = [
        training_batches(data.train, size, (config.seed, 0, 0), number + 1, number * n, augment)
        for number, (size, n) in enumerate(zip(batches, steps, strict=True))
    ]
    pipeline = functools.reduce(lambda one, other: one.concatenate(other), epochs).take(total)
    with fused_batch_norms(model):
        model.fit(pipeline, verbose=0, callbacks=[Lookahead(total)] if lookahead else [])
    found = evaluate(data.val.labels, predict(model, data.val, "", config.views), data.class_names)
    return 100 * float(found["mean_class_accuracy"])


def gains_table(found: Mapping[str, Sequence[float]]) -> str:
    """Return the table of the accuracies by seed, of which the first are the recipe's."""
    first = next(iter(found.values()))
    rows = []
    for name, accuracies in found.items():
        gains = np.subtract(accuracies, first)
        numbers = [f"{gain:+.2f}" for gain in (gains.mean(), *gains)]
        rows.append([name, f"{np.mean(accuracies):.2f}", *numbers])
    header = ["change", "accuracy, %", "gain", *(f"seed {seed}" for seed in range(len(first)))]
    return markdown_table(header, rows)


def main() -> None:
    """Train with each change and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    found = {}
    for name, change in CHANGES.items():
        settings = {"data_dir": args.data_dir, **change.get("settings", {})}
        configs = [configure("instant", seed=seed, **settings) for seed in range(args.seeds)]
        with mock.patch.object(muon, "COEFFICIENTS", change.get("coefficients", muon.COEFFICIENTS)):
            found[name] = [
                train(load_data(config), config, **change.get("train", {})) for config in configs
            ]
        print(name, found[name], file=sys.stderr)
    print(gains_table(found))


if __name__ == "__main__":
    main()
