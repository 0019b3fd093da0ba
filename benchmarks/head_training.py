"""Compare training a head on cached features with training it behind frozen layers.

    python benchmarks/head_training.py --data-dir FOLDER --weights FILE

Both ways run here, one after the other, on the same data from the same start: ten epochs and the
predictions of validation and test. Prints both times, their ratio, and how far the heads differ.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from tfmodels.config import Config
from tfmodels.data.images import ImageData, load_data
from tfmodels.experiment import build_network
from tfmodels.models.parts import feature_extractor
from tfmodels.recipes import configure
from tfmodels.training.fit import predict, train_model


def train_head(
    config: Config, data: ImageData, frozen: bool
) -> tuple[keras.Model, np.ndarray, float]:
    """Train the head and return the model, its predictions and the seconds it took."""
    keras.utils.set_random_seed(config.seed)
    model = build_network(config, data)
    started = time.monotonic()
    if frozen:
        for layer in feature_extractor(model).layers:
            layer.trainable = False
        config = dataclasses.replace(config, trainable="all")
    with tempfile.TemporaryDirectory() as folder:
        last = train_model(model, data, config, Path(folder))
    predictions = [predict(last.network, split) for split in (last.data.val, last.data.test)]
    return model, np.concatenate(predictions), time.monotonic() - started


def main() -> None:
    """Time both ways and print how they differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="eurosat")
    parser.add_argument("--data-dir")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--limit", type=int)
    config = configure(model="mobilenetv2", trainable="head", **vars(parser.parse_args()))
    data = load_data(config)
    cached, fast, cached_seconds = train_head(config, data, frozen=False)
    plain, slow, plain_seconds = train_head(config, data, frozen=True)
    pairs = zip(cached.get_weights(), plain.get_weights(), strict=True)
    weights = max(float(abs(ours - theirs).max()) for ours, theirs in pairs)
    print(f"images: {', '.join(str(len(s)) for s in (data.train, data.val, data.test))}")
    print(
        f"plain {plain_seconds:.1f} s, cached {cached_seconds:.1f} s: "
        f"{plain_seconds / cached_seconds:.2f} times less"
    )
    difference = float(abs(fast - slow).max())
    print(f"largest difference: weights {weights:.1e}, probabilities {difference:.1e}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # nothing is cached from before
        main()
