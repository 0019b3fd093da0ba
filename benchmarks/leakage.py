"""Compare EuroSAT's random with its spatial split, class by class, and say why they differ.

    python -m benchmarks.leakage nearest --data-dir FOLDER --weights FILE
    python -m benchmarks.leakage runs RANDOM_RUN SPATIAL_RUN

The first looks for the training tile that is nearest to each test tile, by the cosine of
MobileNetV2's features from ImageNet weights, and takes its class for the test tile's: what memory
alone reaches. The second compares two runs of a network. Differences have 95 % intervals
(Newcombe 1998, method 10).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from scipy.stats import binomtest

from tfmodels.data.images import load_data
from tfmodels.experiment import build_network
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table
from tfmodels.runs.contents import open_run
from tfmodels.training.features import compute_features, unit

BLOCK = 500  # test tiles compared at once with all training tiles


def nearest(
    data_dir: str | None, weights: str, scheme: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels (n,) of a split's test tiles, the nearest training tiles', and the cosines."""
    config = configure(
        data="eurosat", data_dir=data_dir, weights=weights, trainable="head", split_scheme=scheme
    )
    data = load_data(config)
    keras.utils.set_random_seed(0)
    features = compute_features(build_network(config, data), data)
    train, test = (
        unit(split.images[np.arange(len(split))]) for split in (features.train, features.test)
    )
    found, largest = [], []
    for start in range(0, len(test), BLOCK):
        cosines = test[start : start + BLOCK] @ train.T
        found.append(cosines.argmax(axis=1))
        largest.append(cosines.max(axis=1))
    return data.test.labels, data.train.labels[np.concatenate(found)], np.concatenate(largest)


def difference(hits: Sequence[int], counts: Sequence[int]) -> str:
    """Return the second share less the first in points, with its interval."""
    shares, below, above = [], [], []
    for hit, count in zip(hits, counts, strict=True):
        share, interval = hit / count, binomtest(hit, count).proportion_ci(method="wilson")
        shares.append(share)
        below.append(share - interval.low)
        above.append(interval.high - share)
    change = shares[1] - shares[0]
    low = change - (below[1] ** 2 + above[0] ** 2) ** 0.5
    high = change + (above[1] ** 2 + below[0] ** 2) ** 0.5
    return f"{100 * change:+.1f} ({100 * low:.1f} to {100 * high:.1f})"


def recalls(
    random: tuple[np.ndarray, np.ndarray], spatial: tuple[np.ndarray, np.ndarray], classes: int
) -> list[list[str]]:
    """Return a row for each class and for all images: images and recall on both, difference.

    Args:
        random: labels (n,) and predictions (n,) on the random split.
        spatial: those on the spatial split.
        classes: number of classes.
    """
    rows = []
    for label in (*range(classes), None):
        hits, counts = [], []
        for labels, predicted in (random, spatial):
            of_class = labels == label if label is not None else np.ones(len(labels), bool)
            hits.append(int((predicted == labels)[of_class].sum()))
            counts.append(int(of_class.sum()))
        shares = [
            f"{100 * hit / count:.1f} ({count:,})" for hit, count in zip(hits, counts, strict=True)
        ]
        rows.append([*shares, difference(hits, counts)])
    return rows


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parsers = parser.add_subparsers(dest="what", required=True)
    neighbours = parsers.add_parser("nearest")
    neighbours.add_argument("--data-dir")
    neighbours.add_argument("--weights", required=True)
    pair = parsers.add_parser("runs")
    pair.add_argument("runs", nargs=2, type=Path)
    args = parser.parse_args()
    header = ["class", "random, % (images)", "spatial, % (images)", "difference, points"]
    if args.what == "runs":
        runs = [open_run(path) for path in args.runs]
        tests = [run.predictions()["test"] for run in runs]
        random, spatial = ((test.labels, test.probabilities.argmax(axis=1)) for test in tests)
        names = runs[0].config["dataset"]["class_names"]
        rows = recalls(random, spatial, len(names))
    else:
        names = list(load_data(configure(data="eurosat", data_dir=args.data_dir)).class_names)
        found = [nearest(args.data_dir, args.weights, scheme) for scheme in ("random", "spatial")]
        random, spatial = ((labels, predicted) for labels, predicted, _ in found)
        rows = recalls(random, spatial, len(names))
        header += ["cosine, random", "cosine, spatial"]
        for label, row in zip((*range(len(names)), None), rows, strict=True):
            for labels, _, cosines in found:
                of_class = labels == label if label is not None else slice(None)
                row.append(f"{np.median(cosines[of_class]):.3f}")
    named = [[name, *row] for name, row in zip((*names, "all images"), rows, strict=True)]
    print(markdown_table(header, named))


if __name__ == "__main__":
    main()
