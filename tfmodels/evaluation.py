"""How good predictions are: the study's four figures, per class, and what is confused."""

from typing import Any

import numpy as np
from sklearn import metrics

# Keys of metrics.json and headings of tables, in the study's order.
FIGURES = {
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
TINY = 1e-12  # stands for a probability of 0 where its logarithm is needed
BINS = 15  # of confidence, as in Guo et al. 2017 (arXiv:1706.04599)


def evaluate(
    labels: np.ndarray, probabilities: np.ndarray, class_names: tuple[str, ...]
) -> dict[str, Any]:
    """Judge predictions against the truth.

    F1, precision and recall are macro averages: the mean over the classes, each counting the
    same. Mean class accuracy is the mean over the classes of the share of their pictures
    that are recognised, which is macro recall by another name. A class that is never
    predicted has precision 0.

    Args:
        labels: true classes (n,), int.
        probabilities: predicted (n, classes); the first of equally probable classes counts.
        class_names: names of all classes.

    Returns:
        `accuracy`, the keys of `FIGURES`, `per_class` (name -> precision, recall, f1,
        support), `confusion_matrix` (rows true, columns predicted; counts) and
        `most_confused` (see `most_confused`). All but counts are fractions. And, of the
        probabilities themselves: `negative_log_likelihood` in nats, `brier_score` (0 to 2)
        and `expected_calibration_error` (a fraction).
    """
    predicted = probabilities.argmax(axis=1)
    classes = range(len(class_names))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, average=None, zero_division=0
    )
    per_class = {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, name in enumerate(class_names)
    }
    matrix = metrics.confusion_matrix(labels, predicted, labels=classes)
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "mean_class_accuracy": float(recall.mean()),
        "f1": float(f1.mean()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "per_class": per_class,
        "confusion_matrix": matrix.tolist(),
        "most_confused": most_confused(matrix, class_names),
        "negative_log_likelihood": negative_log_likelihood(labels, probabilities),
        "brier_score": brier_score(labels, probabilities),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
    }


def most_confused(confusion_matrix: Any, class_names: Any, most: int = 5) -> list[str]:
    """The most frequent mistakes in words, such as "cat taken for dog: 131"."""
    mistakes = np.array(confusion_matrix)
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, mistakes.shape), strict=True)
    return [
        f"{class_names[true]} taken for {class_names[predicted]}: {mistakes[true, predicted]}"
        for true, predicted in pairs
        if mistakes[true, predicted]
    ]


def negative_log_likelihood(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -log(probability of the true class), in nats; a probability of 0 counts 1e-12."""
    of_truth = np.take_along_axis(probabilities, labels[:, None], axis=1)
    return float(-np.log(np.maximum(of_truth, TINY, dtype=np.float64)).mean())


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance of the probabilities from the truth, 0 to 2 (Brier 1950)."""
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    of_truth = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return float((squares - 2 * of_truth + 1).mean())


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """How far confidence is from accuracy, on average over the bins of `reliability`."""
    counts, confidence, accuracy = reliability(labels, probabilities)
    return float((counts * abs(confidence - accuracy)).sum() / counts.sum())


def reliability(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a network's confidence, its largest probability, is worth (Guo et al. 2017).

    Returns:
        For `BINS` equally wide bins of confidence: the number of pictures, their mean
        confidence and the share recognised (both 0 where there are none).
    """
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    right = probabilities.argmax(axis=1) == labels
    sums = (np.bincount(bins, weights=values, minlength=BINS) for values in (confidence, right))
    mean_confidence, accuracy = (total / np.maximum(counts, 1) for total in sums)
    return counts, mean_confidence, accuracy
