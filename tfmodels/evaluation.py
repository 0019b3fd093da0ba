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
        `most_confused` (see `most_confused`). All but counts are fractions.
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
