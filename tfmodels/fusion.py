"""Late fusion: several networks' probabilities for the same pictures made one."""

from collections.abc import Sequence

import numpy as np

from tfmodels.errors import UsageError
from tfmodels.predictions import Predictions


def sum_predictions(members: Sequence[Predictions]) -> Predictions:
    """Add the members' softmax vectors, as in the study, and divide by their number.

    The sum rule of Kittler et al. 1998 (On combining classifiers). The pictures are brought
    into the order of the first member by their ids.

    Raises:
        UsageError: the members aren't about the same pictures.
    """
    first = members[0]
    total = np.zeros(first.probabilities.shape)
    for member in members:
        rows = {id: row for row, id in enumerate(member.ids.tolist())}
        if rows.keys() != set(first.ids.tolist()):
            raise UsageError("the runs were tested on different pictures: they can't be fused")
        order = [rows[id] for id in first.ids.tolist()]
        total += member.probabilities[order]
    return Predictions(first.ids, first.labels, (total / len(members)).astype(np.float32))
