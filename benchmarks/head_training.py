"""How much faster a head trains on cached features than behind its frozen backbone.

    python benchmarks/head_training.py --data-dir FOLDER --weights FILE

Both ways run here, one after the other, on the same data from the same start: ten epochs and the
predictions of validation and test. Prints both times, their ratio, and how far the heads differ.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import keras

from tfmodels.data.eurosat import load_eurosat
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.models.parts import backbone
from tfmodels.config import EurosatSettings
from tfmodels.training.fit import predict, train
from tfmodels.training.features import compute_features, predict_head, train_head
from tfmodels.models.weights.loading import load_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="eurosat")
    parser.add_argument("--data-dir")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--limit", type=int)
    settings = EurosatSettings(train="head", **vars(parser.parse_args()))
    data = load_eurosat(settings.data, settings.data_dir, settings.seed, settings.limit)

    def network() -> keras.Model:
        keras.utils.set_random_seed(settings.seed)
        model = mobilenetv2(data.image_shape, len(data.class_names), settings.image_size)
        load_weights(model, settings.weights)
        return model

    cached = network()
    started = time.monotonic()
    features = compute_features(cached, data)
    train_head(cached, features, data, settings)
    fast = [predict_head(cached, features, split) for split in (data.val, data.test)]
    seconds = {"cached": time.monotonic() - started}

    plain = network()
    started = time.monotonic()
    for layer in backbone(plain).layers:
        layer.trainable = False
    train(plain, data, settings)
    slow = [predict(plain, split) for split in (data.val, data.test)]
    seconds["plain"] = time.monotonic() - started

    pairs = zip(cached.get_weights(), plain.get_weights(), strict=True)
    weights = max(float(abs(a - b).max()) for a, b in pairs)
    outputs = max(float(abs(a - b).max()) for a, b in zip(fast, slow, strict=True))
    kernels = [model.get_layer("logits").get_weights()[0] for model in (cached, network())]
    moved = float(abs(kernels[0] - kernels[1]).max())
    print(f"pictures: {', '.join(str(len(s)) for s in (data.train, data.val, data.test))}")
    print(
        f"plain {seconds['plain']:.1f} s, cached {seconds['cached']:.1f} s: "
        f"{seconds['plain'] / seconds['cached']:.2f} times less"
    )
    print(
        f"largest difference: weights {weights:.1e} (moved by {moved:.1e}), "
        f"probabilities {outputs:.1e}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # nothing known from before
        main()
