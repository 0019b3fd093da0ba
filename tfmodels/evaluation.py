"""Metrics of predictions: the study's four, per class, what is confused, and calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics

# Keys of metrics.json and headings of tables, in the study's order.
METRICS = {
    "mean_class_accuracy": "mean class accuracy",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
}
PROBABILISTIC = {
    "negative_log_likelihood": "NLL",
    "brier_score": "Brier score",
    "expected_calibration_error": "calibration error",
}
TINY = 1e-12  # replaces a probability of 0 where its logarithm is needed
BINS = 15  # of confidence, as in Guo et al. 2017 (arXiv:1706.04599)


def evaluate(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return the metrics of predictions.

    F1, precision and recall are macro averages: the mean over the classes, each with the same
    weight. Mean class accuracy is the mean over the classes of the fraction of their images
    that are classified correctly, which is macro recall. A class that is never predicted has
    precision 0.

    Args:
        labels: true classes (n,), int.
        probabilities: predicted (n, classes); of equally probable classes the first counts.
        class_names: names of all classes.

    Returns:
        `accuracy`, the keys of `METRICS`, `per_class` (name -> precision, recall, f1,
        support), `confusion_matrix` (rows true, columns predicted; counts) and
        `most_confused` (see there), all but counts as fractions; then the metrics of the
        probabilities: `negative_log_likelihood` in nats, `brier_score` (0 to 2) and
        `expected_calibration_error` (a fraction).
    """
    predicted = probabilities.argmax(axis=1)
    classes = range(len(class_names))
    report = metrics.classification_report(
        labels, predicted, labels=classes, output_dict=True, zero_division=0
    )
    matrix = metrics.confusion_matrix(labels, predicted, labels=classes)
    macro = _row(report["macro avg"])
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "mean_class_accuracy": macro["recall"],
        "f1": macro["f1"],
        "precision": macro["precision"],
        "recall": macro["recall"],
        "per_class": {name: _row(report[str(i)]) for i, name in enumerate(class_names)},
        "confusion_matrix": matrix.tolist(),
        "most_confused": most_confused(matrix, class_names),
        "negative_log_likelihood": negative_log_likelihood(labels, probabilities),
        "brier_score": brier_score(labels, probabilities),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
    }


def _row(scores: dict[str, float]) -> dict[str, float]:
    """Return a row of scikit-learn's report under our names."""
    return {
        "precision": float(scores["precision"]),
        "recall": float(scores["recall"]),
        "f1": float(scores["f1-score"]),
        "support": int(scores["support"]),
    }


def most_confused(
    confusion_matrix: np.ndarray, class_names: Sequence[str], most: int = 5
) -> list[str]:
    """Return the most frequent mistakes in words, such as "cat confused with dog: 131".

    That is, 131 images of cats were predicted to be dogs.
    """
    mistakes = np.array(confusion_matrix)
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, mistakes.shape), strict=True)
    return [
        f"{class_names[true]} confused with {class_names[predicted]}: {mistakes[true, predicted]}"
        for true, predicted in pairs
        if mistakes[true, predicted]
    ]


def negative_log_likelihood(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of -log(probability of the true class), in nats; 0 counts as 1e-12.

    scikit-learn's `log_loss` limits float32 probabilities at 1e-7, and is too slow for the
    searches of `fusion.rules`.
    """
    of_true_class = np.take_along_axis(probabilities, labels[:, None], axis=1)
    return float(-np.log(np.maximum(of_true_class, TINY, dtype=np.float64)).mean())


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean squared distance of the probabilities from the truth, 0 to 2 (Brier 1950)."""
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    of_true_class = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return float((squares - 2 * of_true_class + 1).mean())


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean distance of confidence from accuracy over the bins of `reliability`."""
    counts, confidence, accuracy = reliability(labels, probabilities)
    return float((counts * abs(confidence - accuracy)).sum() / counts.sum())


def reliability(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return accuracy by confidence, the largest probability of an image (Guo et al. 2017).

    Returns:
        For `BINS` equally wide bins of confidence: the number of images, their mean confidence
        and their accuracy (both 0 where there are none).
    """
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    correct = probabilities.argmax(axis=1) == labels
    sums = (np.bincount(bins, weights=values, minlength=BINS) for values in (confidence, correct))
    mean_confidence, accuracy = (total / np.maximum(counts, 1) for total in sums)
    return counts, mean_confidence, accuracy
