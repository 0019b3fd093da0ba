"""Measure training images a second, ours and PyTorch's, side by side.

    pip install torch
    python -m benchmarks.speed

Each row is a recipe's network in a precision, trained in turn by the project (`fit` with its
pipeline) and by PyTorch (the same network from arrays, channels last), each in a process of its
own. The ratio is the median over the pairs; its range stands beside it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfmodels.config import Config
from tfmodels.recipes import configure

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

ROWS = [
    ("study", "float32"),
    ("study", "mixed_bfloat16"),
    ("instant", "float32"),
    ("instant", "mixed_bfloat16"),
    ("fast", "mixed_bfloat16"),
    ("budget", "mixed_bfloat16"),
    ("best", "mixed_bfloat16"),
]
IMAGES = 12_800  # after the first ten steps


def random_images(batch: int, count: int = IMAGES) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 32, 32, 3) uint8 and labels (n,) for warm-up and measured steps."""
    rng = np.random.default_rng(0)
    n = (10 + count // batch) * batch
    return rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, n)


def keras_training(config: Config, count: int = IMAGES) -> tuple["keras.Model", "tf.data.Dataset"]:
    """Return the compiled network of a recipe, and an epoch of random images."""
    import keras

    from tfmodels.data.images import Split
    from tfmodels.data.pipeline import training_batches
    from tfmodels.models.catalog import build
    from tfmodels.training.optimizers import build_loss, build_optimizer

    keras.config.set_dtype_policy(config.precision)
    images, labels = random_images(config.batch_size, count)
    split = Split(images, labels.astype(str), labels)
    model = build(config.model, (32, 32, 3), 10, config.image_size)
    model.compile(build_optimizer(config, 1000), build_loss(config), metrics=["accuracy"])
    return model, training_batches(split, config.batch_size, (0,))


def keras_speed(config: Config, count: int = IMAGES) -> float:
    """Return the images a second of `fit` with the project's pipeline."""
    import keras

    from tfmodels.training.batch_norm import fused_batch_norms

    model, batches = keras_training(config, count)
    times: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: times.append(time.perf_counter())
    )
    with fused_batch_norms(model):
        model.fit(batches, callbacks=[clock], verbose=0)
    return (len(times) - 10) * config.batch_size / (times[-1] - times[9])


def torch_speed(config: Config) -> float:
    """Return the images a second of PyTorch."""
    import torch

    from benchmarks.torch_networks import NETWORKS, train_step

    step = train_step(NETWORKS[config.model](), config.optimizer == "muon", config.precision)
    images, labels = map(torch.from_numpy, random_images(config.batch_size))
    times = []
    for rows in torch.randperm(len(images)).split(config.batch_size):
        step(images[rows], labels[rows])
        times.append(time.perf_counter())
    return (len(times) - 10) * config.batch_size / (times[-1] - times[9])


def measure_in_turn(
    module: str, frameworks: Sequence[str], row: Sequence[str], rounds: int
) -> dict[str, list[float]]:
    """Return the images a second of each framework, in processes of their own, one by one."""
    speeds: dict[str, list[float]] = {framework: [] for framework in frameworks}
    for _ in range(rounds):
        for framework, found in speeds.items():
            only = json.dumps([framework, *row])
            command = [sys.executable, "-m", module, "--only", only]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(float(done.stdout.split()[-1]))
    return speeds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> list[str]:
    """Return the median of the ratios as text, and their range."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]


def main() -> None:
    """Measure each row in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        framework, recipe, precision = json.loads(args.only)
        config = configure(recipe, precision=precision)
        print({"keras": keras_speed, "torch": torch_speed}[framework](config))
        return
    from tfmodels.report.tables import markdown_table

    rows = []
    for row in ROWS:
        speeds = measure_in_turn("benchmarks.speed", ["keras", "torch"], row, args.pairs)
        medians = [f"{statistics.median(found):,.0f}" for found in speeds.values()]
        rows.append([*row, *medians, *ratio(*speeds.values())])
        print(rows[-1], file=sys.stderr)
    header = ["recipe", "precision", "ours", "PyTorch", "ratio", "range"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
