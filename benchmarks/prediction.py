"""Measure predicted images a second: Keras, PyTorch and ONNX Runtime, side by side.

    pip install torch onnxruntime tf2onnx onnx
    python -m benchmarks.prediction

Each row is a recipe's network in float32, on images in memory in batches of 256, without views.
Each framework runs in turn in a process of its own; the ratios are Keras' to the others', median
and range.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.speed import measure_in_turn, ratio
from tfmodels.config import Config
from tfmodels.recipes import configure

FRAMEWORKS = ("Keras", "PyTorch", "ONNX Runtime")
BATCH, BATCHES = 256, 40

Predict = Callable[[np.ndarray], np.ndarray]


def keras_predict(config: Config) -> Predict:
    """Return a function from images (n, 32, 32, 3) uint8 to their probabilities (n, 10)."""
    from tfmodels.models.catalog import build

    model = build(config.model, (32, 32, 3), 10, config.image_size)
    return lambda images: model.predict(images, batch_size=BATCH, verbose=0)


def torch_predict(config: Config) -> Predict:
    """Return such a function of the same network in PyTorch, channels last."""
    import torch

    from benchmarks.torch_networks import NETWORKS, scaled

    module = NETWORKS[config.model]().to(memory_format=torch.channels_last).eval()

    def predict(images: np.ndarray) -> np.ndarray:
        """Predict in batches."""
        with torch.inference_mode():
            found = [module(scaled(batch)) for batch in torch.from_numpy(images).split(BATCH)]
            probabilities: np.ndarray = torch.cat(found).softmax(1).numpy()
        return probabilities

    return predict


def onnx_predict(config: Config) -> Predict:
    """Return such a function of the Keras network, exported to ONNX."""
    from tfmodels.export.runtimes import load_exported
    from tfmodels.export.writers import write_network
    from tfmodels.models.catalog import build

    model = build(config.model, (32, 32, 3), 10, config.image_size)
    with tempfile.TemporaryDirectory() as folder:
        write_network(model, "onnx", None, np.empty(0), Path(folder))
        classify = load_exported("onnx", Path(folder))

    def predict(images: np.ndarray) -> np.ndarray:
        """Predict in batches."""
        batches = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
        return np.concatenate([classify(batch) for batch in batches])

    return predict


def speed(framework: str, recipe: str) -> float:
    """Return the images a second that a framework predicts."""
    build = dict(zip(FRAMEWORKS, (keras_predict, torch_predict, onnx_predict), strict=True))
    predict = build[framework](configure(recipe))
    shape = (BATCH * BATCHES, 32, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    predict(images[: 2 * BATCH])
    started = time.perf_counter()
    predict(images)
    return len(images) / (time.perf_counter() - started)


def main() -> None:
    """Measure each recipe and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(speed(*json.loads(args.only)))
        return
    from tfmodels.report.tables import markdown_table

    rows = []
    for recipe in ("study", "instant", "fast", "budget", "best"):
        speeds = measure_in_turn("benchmarks.prediction", FRAMEWORKS, [recipe], args.rounds)
        medians = [f"{statistics.median(found):,.0f}" for found in speeds.values()]
        ours, *others = speeds.values()
        ratios = ["{} ({})".format(*ratio(ours, theirs)) for theirs in others]
        rows.append([recipe, configure(recipe).model, *medians, *ratios])
        print(rows[-1], file=sys.stderr)
    ratio_header = [f"Keras to {framework}" for framework in FRAMEWORKS[1:]]
    print(markdown_table(["recipe", "network", *FRAMEWORKS, *ratio_header], rows))


if __name__ == "__main__":
    main()
