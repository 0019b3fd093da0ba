"""Whether a class is weak because of the split: heads on many splits of EuroSAT.

    python benchmarks/splits.py --data-dir FOLDER --weights FILE --seeds 10

The backbone's features are computed once; on each split, by another seed, a new head is trained.
Prints each class's recall on the test pictures, mean, standard deviation and range over the
splits, and how often it is taken for what.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np

from tfmodels.data.eurosat import load_eurosat
from tfmodels.evaluation import evaluate
from tfmodels.experiment import NETWORKS
from tfmodels.config import EurosatSettings
from tfmodels.report.tables import markdown_table
from tfmodels.training.features import compute_features, predict_head, train_head
from tfmodels.models.weights.loading import load_weights

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="eurosat")
parser.add_argument("--data-dir")
parser.add_argument("--model", default="mobilenetv2")
parser.add_argument("--weights", default="imagenet")
parser.add_argument("--image-size", type=int)
parser.add_argument("--seeds", type=int, default=10)
args = vars(parser.parse_args())
matrices = []
for seed in range(args.pop("seeds")):
    settings = EurosatSettings(train="head", seed=seed, **args)
    data = load_eurosat(settings.data, settings.data_dir, seed)
    keras.utils.set_random_seed(seed)
    classes = len(data.class_names)
    model = NETWORKS[settings.model](data.image_shape, classes, settings.image_size)
    load_weights(model, settings.weights)
    features = compute_features(model, data)
    train_head(model, features, data, settings)
    test = evaluate(data.test.labels, predict_head(model, features, data.test), data.class_names)
    matrices.append(test["confusion_matrix"])
counts = np.array(matrices)
shares = counts / counts.sum(axis=2, keepdims=True)
rows = []
for i, name in enumerate(data.class_names):
    recall = 100 * shares[:, i, i]
    others = np.delete(np.arange(classes), i)
    taken = others[shares[:, i, others].argmax(axis=1)]
    for_what = "; ".join(
        f"{data.class_names[other]} {np.sum(taken == other)}"
        for other in sorted(set(taken.tolist()), key=lambda other: -np.sum(taken == other))
    )
    spread = f"{recall.mean():.2f} ± {recall.std(ddof=1):.2f}"
    rows.append([f"{i} {name}", spread, f"{recall.min():.2f} to {recall.max():.2f}", for_what])
header = ["class", "recall, %", "range", f"most often taken for (of {len(counts)} splits)"]
print(markdown_table(header, rows))
