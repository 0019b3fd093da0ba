import numpy as np
import pytest

from tfmodels.errors import UsageError
from tfmodels.fusion import sum_predictions
from tfmodels.predictions import Predictions


def test_softmax_vectors_are_added_by_id(random_probabilities):
    ids, labels = np.array(["a", "b", "c"]), np.array([0, 1, 2])
    first, second = random_probabilities(3, 4, seed=0), random_probabilities(3, 4, seed=1)
    order = np.array([2, 0, 1])
    fused = sum_predictions(
        [Predictions(ids, labels, first), Predictions(ids[order], labels[order], second[order])]
    )
    np.testing.assert_allclose(fused.probabilities, (first + second) / 2, atol=1e-7)
    np.testing.assert_array_equal(fused.ids, ids)
    np.testing.assert_array_equal(fused.labels, labels)


def test_other_pictures_are_refused(random_probabilities):
    members = [
        Predictions(np.array(ids), np.array([0, 1]), random_probabilities(2, 3))
        for ids in (["a", "b"], ["a", "c"])
    ]
    with pytest.raises(UsageError, match="tested on different pictures"):
        sum_predictions(members)
