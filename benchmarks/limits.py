"""Measure what share of this machine's arithmetic each recipe uses, and what its input leaves.

    python -m benchmarks.limits

In one process: the FLOP a second of a large matrix product in float32 and bfloat16, and of each
recipe's training steps; the images a second that a network takes and its input pipeline gives.
"""

import time

import tensorflow as tf

from benchmarks.speed import ROWS, keras_speed, random_images
from tfmodels.data.augmentation import crop_and_flip
from tfmodels.data.images import Split
from tfmodels.data.pipeline import training_batches
from tfmodels.models.catalog import build
from tfmodels.models.flop import TRAINING, forward_flop
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table

SIDE, PRODUCTS = 4096, 5  # of the matrices, and how many products of them are timed
EPOCHS = 5  # of the pipeline


def product_speed(dtype: str) -> float:
    """Return the FLOP a second of a product of two square matrices."""
    matrix = tf.cast(tf.random.normal((SIDE, SIDE)), dtype)
    multiply = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)))
    multiply()
    started = time.perf_counter()
    for _ in range(PRODUCTS):
        multiply().numpy()
    return PRODUCTS * 2 * SIDE**3 / (time.perf_counter() - started)


def pipeline_speed(batch: int, augment: bool) -> float:
    """Return the images a second of the input pipeline alone."""
    images, labels = random_images(batch)
    split = Split(images, labels.astype(str), labels)
    started = time.perf_counter()
    vary = crop_and_flip if augment else None
    for _ in training_batches(split, batch, (0,), EPOCHS, augment=vary):
        pass
    return EPOCHS * len(labels) / (time.perf_counter() - started)


def main() -> None:
    """Measure, and print a table of the machine and one of the recipes."""
    limits = {precision: product_speed(precision) for precision in ("float32", "bfloat16")}
    rows = [[precision, f"{limit / 1e9:,.0f}"] for precision, limit in limits.items()]
    print(markdown_table([f"product of {SIDE} x {SIDE}", "GFLOP/s"], rows), end="\n\n")
    rows = []
    for name in dict.fromkeys(name for name, _ in ROWS):
        config = configure(name)
        speed = keras_speed(config)
        model = build(config.model, (32, 32, 3), 10, config.image_size)
        flop = TRAINING * (forward_flop(model) or 0) * speed
        share = flop / limits[config.precision.removeprefix("mixed_")]
        given = pipeline_speed(config.batch_size, config.augment)
        numbers = [f"{flop / 1e9:,.0f}", f"{share:.0%}", f"{given:,.0f}", f"{given / speed:.0f}"]
        rows.append([name, config.model, config.precision, f"{speed:,.0f}", *numbers])
    header = ["recipe", "network", "precision", "images/s", "GFLOP/s", "of the limit"]
    print(markdown_table([*header, "pipeline images/s", "times the network's"], rows))


if __name__ == "__main__":
    main()
