"""Change one thing of the recipe `tuned` at a time, and print the accuracy on EuroSAT's validation.

    python -m benchmarks.transfer_ablations --weights FILE --limit 6400 --epochs 3 --seeds 2

Each row is as many trainings of MobileNetV2 from ImageNet weights as there are seeds. The gain is
that over the recipe with the same seed.
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from benchmarks.ablations import gains_table
from tfmodels.config import Config
from tfmodels.data.images import ImageData, load_data
from tfmodels.data.pipeline import steps_per_epoch, training_batches
from tfmodels.evaluation import evaluate
from tfmodels.experiment import build_network
from tfmodels.recipes import configure
from tfmodels.training.adam import Adam
from tfmodels.training.batch_norm import fused_batch_norms
from tfmodels.training.callbacks import StepDecay
from tfmodels.training.fit import predict
from tfmodels.training.optimizers import build_optimizer

# What differs from the recipe: settings, a layer of Keras that varies images and their labels, the
# factor on the learning rate of the backbone, or epochs of the head alone before all layers learn.
CHANGES: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "one view to predict": {"views": "single"},
    "no turns, shifts and brightness in training": {"augment": False},
    "no label smoothing": {"label_smoothing": 0.0},
    "a step of the rate for the cosine": {"schedule": "step", "warmup_epochs": 0, "step_size": 2},
    "no warm-up": {"warmup_epochs": 0},
    "moving average of the weights, 0.99": {"ema": 0.99},
    "rate halved": {"lr": 0.0005},
    "rate doubled": {"lr": 0.002},
    "AdamW, 0.05": {"optimizer": "adamw", "weight_decay": 0.05},
    "Muon at 0.02": {"optimizer": "muon", "lr": 0.02},
    "backbone at a third of the rate": {"backbone": 1 / 3},
    "head first for an epoch": {"head": 1},
    "MixUp, 0.2": {"layer": keras.layers.MixUp(alpha=0.2, seed=0)},
    "CutMix": {"layer": keras.layers.CutMix(seed=0)},
    "RandomErasing of half": {"layer": keras.layers.RandomErasing(factor=(0.5, 0.5), seed=0)},
    "64 pixels": {"image_size": 64},
    "128 pixels": {"image_size": 128},
}


class BackboneRate(Adam):
    """Adam with another rate for all but the classifier, whose variables are the last two."""

    factor = 1.0

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        head = self._get_variable_index(variable) >= len(self._trainable_variables) - 2
        super().update_step(gradient, variable, learning_rate * (1.0 if head else self.factor))


def train(
    data: ImageData,
    config: Config,
    layer: keras.layers.Layer | None = None,
    backbone: float = 1.0,
    head: int = 0,
) -> float:
    """Train, and return the mean class accuracy on validation images, in percent.

    Args:
        data: images and splits.
        config: of the training.
        layer: of Keras that varies batches of images and one-hot labels.
        backbone: factor on its learning rate.
        head: epochs of the head alone, at the full rate, before all layers learn.
    """
    keras.utils.set_random_seed(config.seed)
    model = build_network(config, data)
    classes = len(data.class_names)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing)

    def vary(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Apply the layer, and make labels one-hot."""
        targets = tf.one_hot(labels, classes)
        if layer is None:
            return images, targets
        found = layer({"images": tf.cast(images, tf.float32), "labels": targets}, training=True)
        return found["images"], found["labels"]

    augment = data.augment if config.augment else None
    seed = (config.seed, 0, 0)
    steps = steps_per_epoch(data.train, config.batch_size)
    callbacks = []
    if head:
        model.get_layer(config.model).trainable = False
        model.compile("adam", loss)
        batches = training_batches(data.train, config.batch_size, (*seed, 1), head, 0, augment)
        model.fit(batches.map(vary), verbose=0)
        model.get_layer(config.model).trainable = True
    optimizer = build_optimizer(config, steps)
    if backbone != 1:
        optimizer = BackboneRate.from_config(optimizer.get_config())
        optimizer.factor = backbone
    if config.schedule == "step":
        callbacks.append(StepDecay(config.lr, config.step_size, config.gamma))
    model.compile(optimizer, loss)
    batches = training_batches(data.train, config.batch_size, seed, config.epochs, 0, augment)
    with fused_batch_norms(model):
        model.fit(
            batches.map(vary),
            epochs=config.epochs,
            steps_per_epoch=steps,
            callbacks=callbacks,
            verbose=0,
        )
    if config.ema:
        optimizer.finalize_variable_values(model.trainable_variables)
    found = evaluate(data.val.labels, predict(model, data.val, "", config.views), data.class_names)
    return 100 * float(found["mean_class_accuracy"])


def configs(args: argparse.Namespace, change: Mapping[str, Any]) -> list[Config]:
    """Return the settings of a row, for each seed."""
    ours = {"data": "eurosat", "model": "mobilenetv2", "weights": args.weights}
    ours |= {"data_dir": args.data_dir, "limit": args.limit, "epochs": args.epochs}
    return [configure("tuned", **{**ours, **change, "seed": seed}) for seed in range(args.seeds)]


def main() -> None:
    """Train with each change and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    found = {}
    for name, change in CHANGES.items():
        settings = dict(change)
        options = {key: settings.pop(key) for key in ("layer", "backbone", "head") if key in change}
        found[name] = [train(load_data(one), one, **options) for one in configs(args, settings)]
        print(name, found[name], file=sys.stderr)
    print(gains_table(found))


if __name__ == "__main__":
    main()
