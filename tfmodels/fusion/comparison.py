"""Comparison of fusions with their members on the test images, with statistics."""

import dataclasses
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
        (name of fusion -> the fields of `Comparison`, its `points` and `in_words`).
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
    }


def _oracle(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return predictions (n, classes) that are correct where any member's are."""
    correct = np.any(probabilities.argmax(axis=2) == labels, axis=0)
    classes = np.where(correct, labels, probabilities[0].argmax(axis=1))
    return np.eye(probabilities.shape[2])[classes]


def _best_on_validation(runs: Sequence[Run]) -> int:
    return int(np.argmax([_validation_accuracy(run) for run in runs]))


def _validation_accuracy(run: Run) -> float:
    """Return the mean class accuracy of a run on its validation images; 0 if it has none."""
    splits, class_names = run.predictions(), run.config["dataset"]["class_names"]
    if "val" not in splits:  # a fusion of runs with different validation images
        return 0.0
    validation = splits["val"]
    metrics = evaluate(validation.labels, validation.probabilities, class_names)
    return float(metrics["mean_class_accuracy"])
