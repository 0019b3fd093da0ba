"""Measure training images a second, ours and PyTorch's, side by side.

    pip install torch
    python -m benchmarks.speed

Each row is a network in a precision at a batch size, trained in turn by the project (`fit` with
its pipeline) and by PyTorch (the same network from arrays, channels last), each in a process of
its own. The ratio is the median over the pairs; its range stands beside it.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time

import numpy as np

ROWS = [
    ("vgg", "float32", 64),
    ("vgg", "mixed_bfloat16", 64),
    ("airbench-small", "float32", 500),
    ("airbench-small", "mixed_bfloat16", 500),
    ("airbench-medium", "mixed_bfloat16", 350),
    ("airbench-large", "mixed_bfloat16", 350),
]
IMAGES = 12_800  # after the first ten steps


def random_images(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 32, 32, 3) uint8 and labels (n,) for warm-up and measured steps."""
    rng = np.random.default_rng(0)
    n = (10 + IMAGES // batch) * batch
    return rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, n)


def keras_speed(network: str, precision: str, batch: int) -> float:
    """Return the images a second of `fit` with the project's pipeline."""
    import keras

    from tfmodels.data.images import Split
    from tfmodels.data.pipeline import training_batches
    from tfmodels.models.catalog import build
    from tfmodels.recipes import configure
    from tfmodels.training.batch_norm import fused_batch_norms
    from tfmodels.training.optimizers import build_loss, build_optimizer

    muon = network != "vgg"
    config = configure(batch_size=batch)
    if muon:
        config = dataclasses.replace(config, optimizer="muon", lr=0.2, label_smoothing=0.2)
    keras.config.set_dtype_policy(precision)
    images, labels = random_images(batch)
    split = Split(images, np.arange(len(labels)).astype(str), labels)
    model = build(network, (32, 32, 3), 10, 32)
    model.compile(build_optimizer(config, 1000), build_loss(config), metrics=["accuracy"])
    times: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: times.append(time.perf_counter())
    )
    with fused_batch_norms(model):
        model.fit(training_batches(split, batch, (0,)), callbacks=[clock], verbose=0)
    return (len(times) - 10) * batch / (times[-1] - times[9])


def torch_speed(network: str, precision: str, batch: int) -> float:
    """Return the images a second of PyTorch."""
    import torch

    from benchmarks.torch_networks import AIRBENCH, Airbench, train_step, vgg

    module = vgg() if network == "vgg" else Airbench(*AIRBENCH[network])
    step = train_step(module, network != "vgg", precision)
    images, labels = map(torch.from_numpy, random_images(batch))
    times = []
    for rows in torch.randperm(len(images)).split(batch):
        step(images[rows], labels[rows])
        times.append(time.perf_counter())
    return (len(times) - 10) * batch / (times[-1] - times[9])


def main() -> None:
    """Measure each row in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        framework, *row = json.loads(args.only)
        print({"keras": keras_speed, "torch": torch_speed}[framework](*row))
        return
    from tfmodels.report.tables import markdown_table

    rows = []
    for row in ROWS:
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(args.pairs):
            for framework, speeds in (("keras", ours), ("torch", theirs)):
                command = [sys.executable, "-m", "benchmarks.speed", "--only"]
                command.append(json.dumps([framework, *row]))
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                speeds.append(float(done.stdout.split()[-1]))
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        medians = [f"{statistics.median(speeds):,.0f}" for speeds in (ours, theirs)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([*map(str, row), *medians, f"{statistics.median(ratios):.2f}", spread])
        print(rows[-1], file=sys.stderr)
    header = ["network", "precision", "batch", "ours", "PyTorch", "ratio", "range"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
