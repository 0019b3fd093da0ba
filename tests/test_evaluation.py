import numpy as np
import pytest

from tfmodels.evaluation import evaluate, most_confused


def one_hot(classes, n=3):
    return np.eye(n, dtype="float32")[classes]


def test_figures_of_a_confusion_matrix_computed_by_hand():
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


def test_a_class_never_predicted_has_precision_zero_without_a_warning(recwarn):
    result = evaluate(np.array([0, 1, 2]), one_hot([0, 1, 1]), ("a", "b", "c"))
    assert result["per_class"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert result["mean_class_accuracy"] == pytest.approx(2 / 3)
    assert not recwarn.list


def test_equally_probable_classes_go_to_the_first():
    result = evaluate(np.array([1]), np.array([[0.25, 0.5, 0.5]]), ("a", "b", "c"))
    assert result["accuracy"] == 1


def test_most_confused_pairs_in_words():
    matrix = [[9, 0, 4], [7, 1, 0], [0, 0, 5]]
    names = ("cat", "dog", "ship")
    assert most_confused(matrix, names) == ["dog taken for cat: 7", "cat taken for ship: 4"]
    assert most_confused(matrix, names, most=1) == ["dog taken for cat: 7"]
    assert matrix[0][0] == 9
    assert most_confused(np.diag([1, 2, 3]), names) == []
