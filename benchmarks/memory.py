"""Measure the memory of training over the epochs, on Linux.

    python benchmarks/memory.py --data FOLDER --epochs 5

Trains a linear classifier, so that the input is most of the work, and prints how many images
were read a second and the process' anonymous memory after each epoch. Images that are mapped from
a file don't count: the system takes that memory back as it needs to.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

import keras

from tfmodels.data.images import load_data
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table
from tfmodels.training.fit import train_model


def anonymous_mib() -> float:
    """Return the anonymous memory of this process in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"RssAnon:\s+(\d+) kB", status)[0]) / 1024


def main() -> None:
    """Train epoch by epoch and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="eurosat")
    parser.add_argument("--data-dir")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    config = configure(data=args.data, data_dir=args.data_dir, batch_size=args.batch_size, epochs=1)
    started = anonymous_mib()
    data = load_data(config)
    rows = [["loaded", "", f"{anonymous_mib():.0f}"]]
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(data.image_shape),
            layers.Rescaling(1 / 255),
            layers.AveragePooling2D(8),
            layers.Flatten(),
            layers.Dense(len(data.class_names), "softmax"),
        ]
    )
    for epoch in range(args.epochs):
        clock = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            train_model(model, data, config, Path(folder))
        images = len(data.train) + len(data.val)
        speed = images / (time.monotonic() - clock)
        rows.append([str(epoch + 1), f"{speed:.0f}", f"{anonymous_mib():.0f}"])
    print(f"{len(data.train):,} training images; {started:.0f} MiB before they were loaded")
    print(markdown_table(["epoch", "images a second", "anonymous MiB"], rows))


if __name__ == "__main__":
    main()
