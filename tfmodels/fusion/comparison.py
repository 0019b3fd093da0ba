"""Comparison of fusions with their members on the test images, with statistics."""

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfmodels.evaluation import evaluate
from tfmodels.fusion.members import Members
from tfmodels.fusion.significance import Comparison, bootstrap, interval, mcnemar
from tfmodels.runs.contents import Run


def compare(members: Members, fused: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Compare fusions with their members on the test images.

    Their rival is the member with the best mean class accuracy on its validation images, so
    that nothing is chosen on the test split. The oracle is correct where any member is.

    Args:
        members: the runs.
        fused: probabilities of the test split (n, classes), by name of fusion.

    Returns:
        `metrics` (name -> as of `evaluate`, for each member, each fusion and `oracle`),
        `intervals` (name -> metric -> 95 % bootstrap interval), `rival`, and `differences`
        (name of fusion -> the fields of `Comparison`, its `points` and `in_words`), and
        `diversity` (see there).
    """
    _, labels, probabilities = members.splits["test"]
    compared = {
        **dict(zip(members.names, probabilities, strict=True)),
        **fused,
        "oracle": _oracle(labels, probabilities),
    }
    metrics = {
        name: evaluate(labels, outputs, members.class_names) for name, outputs in compared.items()
    }
    predicted = {name: outputs.argmax(axis=1) for name, outputs in compared.items()}
    resampled = bootstrap(labels, list(predicted.values()), len(members.class_names))
    intervals = {
        name: {key: interval(values[i]) for key, values in resampled.items()}
        for i, name in enumerate(compared)
    }
    rival = members.names[_best_on_validation(members.runs)]
    accuracies = dict(zip(compared, resampled["mean_class_accuracy"], strict=True))
    differences = {}
    for name in fused:
        low, high = interval(accuracies[name] - accuracies[rival])
        gained, lost, p = mcnemar(labels, predicted[name], predicted[rival])
        comparison = Comparison(
            accuracy=metrics[name]["mean_class_accuracy"],
            rival=metrics[rival]["mean_class_accuracy"],
            low=low,
            high=high,
            gained=gained,
            lost=lost,
            p=p,
            images=len(labels),
        )
        differences[name] = dataclasses.asdict(comparison) | {
            "points": comparison.points(),
            "in_words": comparison.in_words(),
        }
    return {
        "metrics": metrics,
        "intervals": intervals,
        "rival": rival,
        "differences": differences,
        "diversity": diversity(labels, probabilities.argmax(axis=2)),
    }


def diversity(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return how much members differ, on average over all pairs.

    Fusing pays where members are good and differ (Kuncheva & Whitaker 2003, Machine Learning 51).

    Args:
        labels: true classes (n,).
        predicted: classes by each member (n_models, n).

    Returns:
        `disagreement`, the fraction of images that two members take for different classes, and
        `error_correlation`, Pearson's correlation of their being wrong: 1 if they are wrong on
        the same images, 0 if independently, or if one is never wrong.
    """
    pairs = list(itertools.combinations(predicted, 2))
    disagreement = [float(np.mean(one != other)) for one, other in pairs]
    correlation = [_correlation(one != labels, other != labels) for one, other in pairs]
    return {
        "disagreement": statistics.mean(disagreement),
        "error_correlation": statistics.mean(correlation),
    }


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _oracle(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return predictions (n, classes) that are correct where any member's are."""
    correct = np.any(probabilities.argmax(axis=2) == labels, axis=0)
    classes = np.where(correct, labels, probabilities[0].argmax(axis=1))
    return np.eye(probabilities.shape[2])[classes]


def _best_on_validation(runs: Sequence[Run]) -> int:
    return int(np.argmax([validation_accuracy(run) for run in runs]))


def validation_accuracy(run: Run) -> float:
    """Return the mean class accuracy of a run on its validation images; 0 if it has none."""
    metrics = run.metrics()
    if "val" not in metrics:  # a fusion of runs with different validation images
        return 0.0
    return float(metrics["val"]["mean_class_accuracy"])
