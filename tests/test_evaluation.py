from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from tfmodels.evaluation import (
    brier_score,
    evaluate,
    expected_calibration_error,
    most_confused,
    negative_log_likelihood,
    reliability,
)


def one_hot(classes: list[int], n: int = 3) -> np.ndarray:
    return np.eye(n, dtype="float32")[classes]


def test_metrics_of_a_confusion_matrix_computed_by_hand() -> None:
    # Rows true, columns predicted:  a: 3 1 0   b: 1 1 0   c: 2 0 2
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    predicted = [0, 0, 0, 1, 0, 1, 0, 0, 2, 2]
    result = evaluate(labels, one_hot(predicted), ("a", "b", "c"))
    assert result["confusion_matrix"] == [[3, 1, 0], [1, 1, 0], [2, 0, 2]]
    assert result["accuracy"] == pytest.approx(6 / 10)
    # Recall 3/4, 1/2, 1/2; precision 3/6, 1/2, 2/2; F1 = 2pr/(p+r) = 3/5, 1/2, 2/3.
    assert result["mean_class_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    assert result["recall"] == result["mean_class_accuracy"]
    assert result["precision"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert result["f1"] == pytest.approx((3 / 5 + 1 / 2 + 2 / 3) / 3)
    assert result["per_class"]["c"] == pytest.approx(
        {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 4}
    )


def test_a_class_never_predicted_has_precision_zero_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    result = evaluate(np.array([0, 1, 2]), one_hot([0, 1, 1]), ("a", "b", "c"))
    assert result["per_class"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert result["mean_class_accuracy"] == pytest.approx(2 / 3)
    assert not recwarn.list


def test_classes_may_have_the_names_of_averages() -> None:
    result = evaluate(np.array([0, 0, 1]), one_hot([0, 1, 1], 2), ("accuracy", "macro avg"))
    assert result["per_class"]["accuracy"]["recall"] == 0.5
    assert result["recall"] == 0.75


def test_equally_probable_classes_go_to_the_first() -> None:
    result = evaluate(np.array([1]), np.array([[0.25, 0.5, 0.5]]), ("a", "b", "c"))
    assert result["accuracy"] == 1


def test_most_confused_pairs_in_words() -> None:
    matrix = np.array([[9, 0, 4], [7, 1, 0], [0, 0, 5]])
    names = ("cat", "dog", "ship")
    pairs = ["dog confused with cat: 7", "cat confused with ship: 4"]
    assert most_confused(matrix, names) == pairs
    assert most_confused(matrix, names, most=1) == pairs[:1]
    assert matrix[0][0] == 9
    assert most_confused(np.diag([1, 2, 3]), names) == []


def test_scores_of_probabilities_are_scikit_learns(
    random_probabilities: Callable[[int, int], np.ndarray],
) -> None:
    probabilities = random_probabilities(50, 4).astype("float64")
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = np.arange(50) % 4
    assert negative_log_likelihood(labels, probabilities) == pytest.approx(
        log_loss(labels, probabilities)
    )
    expected = np.mean([brier_score_loss(labels == k, probabilities[:, k]) for k in range(4)])
    assert brier_score(labels, probabilities) == pytest.approx(4 * expected)
    result = evaluate(labels, probabilities, tuple("abcd"))
    assert result["brier_score"] == brier_score(labels, probabilities)


def test_scores_of_a_probability_of_zero_are_finite() -> None:
    assert negative_log_likelihood(np.array([1]), one_hot([0])) == pytest.approx(-np.log(1e-12))
    assert brier_score(np.array([1]), one_hot([0])) == 2
    assert brier_score(np.array([0]), one_hot([0])) == 0


def test_calibration_error_by_hand() -> None:
    # 10 images at confidence 0.7, of which 4 are right, and 30 at 0.9, of which 27 are.
    probabilities = np.repeat([[0.7, 0.3], [0.1, 0.9]], [10, 30], axis=0)
    labels = np.repeat([0, 1, 0, 1], [4, 6, 3, 27])
    counts, confidence, accuracy = reliability(labels, probabilities)
    assert counts[[10, 13]].tolist() == [10, 30]
    assert confidence[[10, 13]] == pytest.approx([0.7, 0.9])
    assert accuracy[[10, 13]] == pytest.approx([0.4, 0.9])
    assert expected_calibration_error(labels, probabilities) == pytest.approx(10 / 40 * 0.3)
    assert expected_calibration_error(np.array([0]), one_hot([0])) == 0
