"""Compare momentums of MobileNetV2's batch norms in a short run from scratch.

    python benchmarks/batch_norm_momentum.py --data-dir FOLDER --limit 4000

Trains the same network twice, with our momentum and with the 0.999 of keras.applications, and
prints the accuracy on the validation split after each epoch. Training itself doesn't use the
moving statistics, so accuracy on that split hardly differs; that of predictions does.
"""

import argparse
import csv
import tempfile
from pathlib import Path

import keras

from tfmodels.data.images import load_data
from tfmodels.experiment import build_network
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table, percent
from tfmodels.training.fit import train_model


def main() -> None:
    """Train with both momentums and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="eurosat")
    parser.add_argument("--data-dir")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--epochs", type=int, default=5)
    config = configure(model="mobilenetv2", **vars(parser.parse_args()))
    data = load_data(config)
    rows = []
    for momentum in (0.9, 0.999):
        keras.utils.set_random_seed(config.seed)
        model = build_network(config, data)
        for layer in model.get_layer("mobilenetv2").layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = momentum
        with tempfile.TemporaryDirectory() as folder:
            train_model(model, data, config, Path(folder))
            history = list(csv.DictReader((Path(folder) / "history.csv").open()))
        for name, key in (("training", "accuracy"), ("validation", "val_accuracy")):
            rows.append([momentum, name, *(percent(float(row[key])) for row in history)])
    epochs = [f"epoch {number + 1}" for number in range(config.epochs)]
    print(markdown_table(["momentum", "accuracy on", *epochs], rows))


if __name__ == "__main__":
    main()
