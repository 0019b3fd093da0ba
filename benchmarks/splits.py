"""Measure each class's recall over many random splits of EuroSAT, by heads on features.

    python benchmarks/splits.py --data-dir FOLDER --weights FILE --seeds 10

The features are computed once; on each split, by another seed, a new head is trained. Prints each
class's recall on the test images, mean, standard deviation and range over the splits, and how
often it is most confused with which class.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np

from tfmodels.data.images import load_data
from tfmodels.evaluation import evaluate
from tfmodels.experiment import build_network
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table
from tfmodels.training.fit import predict, train_model


def main() -> None:
    """Train a head on each split and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="eurosat")
    parser.add_argument("--data-dir")
    parser.add_argument("--model", default="mobilenetv2")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--seeds", type=int, default=10)
    args = vars(parser.parse_args())
    matrices = []
    for seed in range(args.pop("seeds")):
        config = configure(trainable="head", seed=seed, **args)
        data = load_data(config)
        keras.utils.set_random_seed(seed)
        with tempfile.TemporaryDirectory() as folder:
            last = train_model(build_network(config, data), data, config, Path(folder))
        probabilities = predict(last.network, last.data.test)
        metrics = evaluate(data.test.labels, probabilities, data.class_names)
        matrices.append(metrics["confusion_matrix"])
    print(table(np.array(matrices), data.class_names))


def table(counts: np.ndarray, class_names: tuple[str, ...]) -> str:
    """Return the table of confusion matrices (n_splits, classes, classes)."""
    shares = counts / counts.sum(axis=2, keepdims=True)
    rows = []
    for i, name in enumerate(class_names):
        recall = 100 * shares[:, i, i]
        others = np.delete(np.arange(len(class_names)), i)
        confused = others[shares[:, i, others].argmax(axis=1)].tolist()
        most_first = sorted(set(confused), key=lambda other: -confused.count(other))
        with_what = "; ".join(
            f"{class_names[other]} {confused.count(other)}" for other in most_first
        )
        spread = f"{recall.mean():.2f} ± {recall.std(ddof=1):.2f}"
        extent = f"{recall.min():.2f} to {recall.max():.2f}"
        rows.append([f"{i} {name}", spread, extent, with_what])
    header = ["class", "recall, %", "range", f"most confused with (of {len(counts)} splits)"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
