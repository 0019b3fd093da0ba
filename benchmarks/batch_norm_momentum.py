"""What the momentum of MobileNetV2's batch norms does in a short run from scratch.

    python benchmarks/batch_norm_momentum.py --data-dir FOLDER --limit 4000

Trains the same network twice, with our momentum and with the 0.999 of keras.applications, and
prints the accuracy on the validation split after each epoch. Training itself doesn't use the
moving statistics, so accuracy on that split hardly differs; what is predicted afterwards does.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import keras

from tfmodels.data.eurosat import load_eurosat
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.config import EurosatSettings
from tfmodels.report.tables import markdown_table, percent
from tfmodels.training.fit import train

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="eurosat")
parser.add_argument("--data-dir")
parser.add_argument("--image-size", type=int, default=64)
parser.add_argument("--limit", type=int)
parser.add_argument("--epochs", type=int, default=5)
settings = EurosatSettings(**vars(parser.parse_args()))
data = load_eurosat(settings.data, settings.data_dir, settings.seed, settings.limit)
rows = []
for momentum in (0.9, 0.999):
    keras.utils.set_random_seed(settings.seed)
    model = mobilenetv2(data.image_shape, len(data.class_names), settings.image_size)
    for layer in model.get_layer("mobilenetv2").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
    history = train(model, data, settings).history
    for name, key in (("training", "accuracy"), ("validation", "val_accuracy")):
        rows.append([momentum, name, *map(percent, history[key])])
epochs = [f"epoch {number + 1}" for number in range(settings.epochs)]
print(markdown_table(["momentum", "accuracy on", *epochs], rows))
