"""Measure AlexNet's training images a second, one change after the other, side by side.

    python -m benchmarks.alexnet_speed --rounds 2

Each row keeps the changes of those above it and is measured in a process of its own, all in turn;
images are random, scaled to AlexNet's 128 pixels. The ratio is to the first row.
"""

import argparse
import json
import statistics
from typing import Any
from unittest import mock

import keras

from benchmarks.speed import keras_speed, measure_in_turn, ratio
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table
from tfmodels.training import optimizers
from tfmodels.training.adam import Adam

IMAGES = 1024
ROWS: dict[str, dict[str, Any]] = {
    "Keras' Adam, batches of 64, float32": {},
    "Adam in one operation": {"fused": True},
    "batches of 128": {"fused": True, "batch_size": 128},
    "bfloat16": {"fused": True, "batch_size": 128, "precision": "mixed_bfloat16"},
    "batches of 256": {"fused": True, "batch_size": 256, "precision": "mixed_bfloat16"},
    "SGD for Adam": {"batch_size": 256, "precision": "mixed_bfloat16", "optimizer": "sgd"},
}


def speed(name: str) -> float:
    """Return the images a second of a row."""
    settings = dict(ROWS[name])
    adam = Adam if settings.pop("fused", False) else keras.optimizers.Adam
    with mock.patch.object(optimizers, "Adam", adam):
        return keras_speed(configure(data="eurosat", model="alexnet", **settings), IMAGES)


def main() -> None:
    """Measure each row in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(speed(*json.loads(args.only)))
        return
    speeds = measure_in_turn("benchmarks.alexnet_speed", list(ROWS), [], args.rounds)
    first = speeds[next(iter(ROWS))]
    rows = [
        [name, f"{statistics.median(found):,.0f}", *ratio(found, first)]
        for name, found in speeds.items()
    ]
    print(markdown_table(["change", "images/s", "ratio", "range"], rows))


if __name__ == "__main__":
    main()
