"""Late fusion: the probabilities of several networks for the same pictures made one.

Rules take probabilities (n_models, n, classes) and give (n, classes), rows summing to 1,
computed in float64. Of classes that tie, but for rounding, the first counts, as in `evaluate`.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

from tfmodels.evaluation import TINY, negative_log_likelihood

Rule = Callable[[np.ndarray], np.ndarray]

EXPONENTS = (1, 0.5, 2, 0, 4, -0.5, -1, 8, -2, -4)  # from the sum rule outwards
ROUNDS = 50  # of greedy selection
FOLDS = 5  # of validation pictures, each fused by what was learned from the others
STACKING_C = 1.0  # scikit-learn's strength of regularisation


def fuse_sum(probabilities: np.ndarray) -> np.ndarray:
    """The mean of the networks' probabilities: the study's rule, there without dividing.

    The sum rule of Kittler et al. 1998 (On combining classifiers).
    """
    return probabilities.sum(axis=0, dtype=np.float64) / len(probabilities)


def fuse_geometric(probabilities: np.ndarray) -> np.ndarray:
    """The normalised geometric mean, which ranks as the product does (Kittler et al. 1998)."""
    return fuse_power(probabilities, 0)


def fuse_power(probabilities: np.ndarray, exponent: float) -> np.ndarray:
    """The normalised power mean: 1 is the sum rule, 0 the geometric mean, -1 the harmonic one.

    Towards minus and plus infinity it becomes the minimum and maximum rules of Kittler et al.
    1998.
    """
    total = np.zeros(probabilities.shape[1:])
    for member in probabilities:  # one at a time: float64 copies of all would not fit
        member = np.maximum(member, TINY, dtype=np.float64)
        total += np.log(member) if exponent == 0 else member**exponent
    total /= len(probabilities)
    return _normalised(np.exp(total) if exponent == 0 else total ** (1 / exponent))


def fuse_weighted(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean; weights (n_models,) that sum to 1."""
    return np.einsum("mnc,m->nc", probabilities, np.asarray(weights, np.float64))


def fuse_vote(probabilities: np.ndarray) -> np.ndarray:
    """One vote a network for its likeliest class; the sum rule decides between equal votes.

    The share of votes, with the mean probability counting as one vote more.
    """
    n_models, n, _ = probabilities.shape
    votes = fuse_sum(probabilities)
    for member in probabilities:
        votes[np.arange(n), member.argmax(axis=1)] += 1
    return votes / (n_models + 1)


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide logits by a temperature: above 1 less confident, below 1 more (n, classes).

    Logarithms of probabilities serve as logits, from which they differ by a constant a row.
    """
    return _normalised(np.maximum(probabilities, TINY, dtype=np.float64) ** (1 / temperature))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature (0.05 to 20) of the lowest negative log-likelihood of the labels.

    Guo et al. 2017 (arXiv:1706.04599). For the fused output, not the members: the mean of
    calibrated members is under-confident (Rahaman and Thiery 2021, arXiv:2007.08792).
    """

    def loss(log_temperature: float) -> float:
        """What the best temperature makes smallest; by its logarithm, so that steps are even."""
        return negative_log_likelihood(labels, temper(probabilities, np.exp(log_temperature)))

    return float(np.exp(minimize_scalar(loss, bounds=np.log([0.05, 20]), method="bounded").x))


def _fit_power(probabilities: np.ndarray, labels: np.ndarray) -> tuple[Rule, dict[str, Any]]:
    rules = [functools.partial(fuse_power, exponent=exponent) for exponent in EXPONENTS]
    best = max(rules, key=lambda rule: _goodness(rule(probabilities), labels))
    return best, best.keywords


def _fit_weighted(probabilities: np.ndarray, labels: np.ndarray) -> tuple[Rule, dict[str, Any]]:
    search = _search_share if len(probabilities) == 2 else _select_greedily
    weights = search(probabilities, labels)
    return functools.partial(fuse_weighted, weights=weights), {"weights": weights.tolist()}


def _search_share(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights of two networks with the highest mean class accuracy of all there are.

    A picture is recognised for the shares w of the first network at which no class has more
    than the true one: an interval, because both are linear in w. So the accuracy only
    changes at the ends of these intervals, and one of the spans between them is the best.
    """
    at_label = np.take_along_axis(probabilities, labels[None, :, None], axis=2)
    first, second = at_label.astype(np.float64) - probabilities  # lead over every class
    slope = first - second
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -second / slope
    low = np.where(slope > 0, crossing, 0).max(axis=1).clip(0)
    high = np.where(slope < 0, crossing, 1).min(axis=1).clip(None, 1)
    possible = (low < high) & ~((slope == 0) & (second < 0)).any(axis=1)
    worth = 1 / np.bincount(labels)[labels[possible]]  # of a picture in mean class accuracy
    edges = np.concatenate([[0.0], low[possible], high[possible]])
    order = np.argsort(edges, kind="stable")
    score = np.cumsum(np.concatenate([[0.0], worth, -worth])[order])
    width = np.diff(edges[order], append=1.0)
    best = np.where(score > score.max(where=width > 0, initial=0) - 1e-9, width, 0).argmax()
    middle = edges[order][best] + width[best] / 2
    # Equal weights where they do as well, and each network alone lest rounding make it worse.
    candidates = [np.array([share, 1 - share]) for share in (0.5, middle, 1.0, 0.0)]
    return max(
        candidates, key=lambda weights: _accuracy(fuse_weighted(probabilities, weights), labels)
    )


def _select_greedily(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights by greedy selection with replacement (Caruana et al. 2004).

    Starting with none, the network that helps most is added, again and again; of all rounds,
    of which the first is the best network alone, the best counts.
    """
    counts = np.zeros(len(probabilities), int)
    total = np.zeros(probabilities.shape[1:])
    rounds = []
    for size in range(1, ROUNDS + 1):
        goodness = [_goodness((total + member) / size, labels) for member in probabilities]
        chosen = max(range(len(goodness)), key=goodness.__getitem__)
        counts[chosen] += 1
        total += probabilities[chosen]
        rounds.append((goodness[chosen], counts / size))
    return max(rounds, key=lambda entry: entry[0])[1]


def _fit_stacking(probabilities: np.ndarray, labels: np.ndarray) -> tuple[Rule, dict[str, Any]]:
    """Multinomial logistic regression on log-probabilities (Wolpert 1992), L2-regularised."""
    classes = probabilities.shape[2]
    model = LogisticRegression(C=STACKING_C, solver="newton-cholesky", tol=1e-6)
    model.fit(_log_features(probabilities), labels)

    def rule(probabilities: np.ndarray) -> np.ndarray:
        """Give 0 to classes without a validation picture, which the regression can't know."""
        fused = np.zeros((probabilities.shape[1], classes))
        fused[:, model.classes_] = model.predict_proba(_log_features(probabilities))
        return fused

    return rule, {"C": STACKING_C}


# From the validation split's probabilities (n_models, n, classes) and labels (n,) to a rule
# and what it learned, by name.
METHODS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[Rule, dict[str, Any]]]] = {
    "sum": lambda *_: (fuse_sum, {}),
    "geometric": lambda *_: (fuse_geometric, {}),
    "power": _fit_power,
    "weighted": _fit_weighted,
    "stacking": _fit_stacking,
    "vote": lambda *_: (fuse_vote, {}),
}


def fuse_held_out(
    method: str, probabilities: np.ndarray, labels: np.ndarray, folds: int = FOLDS
) -> np.ndarray:
    """Fuse each picture (n_models, n, classes) by what a method learned from other ones.

    Judged on what it was fitted to, a method that learns much looks better than it is.
    """
    fused = np.empty(probabilities.shape[1:])
    split = StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels)
    for learned_from, held_out in split:
        rule, _ = METHODS[method](probabilities[:, learned_from], labels[learned_from])
        fused[held_out] = rule(probabilities[:, held_out])
    return fused


def _log_features(probabilities: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(probabilities, TINY, dtype=np.float64))
    return logs.transpose(1, 0, 2).reshape(probabilities.shape[1], -1)


def _goodness(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    return _accuracy(probabilities, labels), -negative_log_likelihood(labels, probabilities)


def _accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return balanced_accuracy_score(labels, probabilities.argmax(axis=1))


def _normalised(values: np.ndarray) -> np.ndarray:
    return values / values.sum(axis=1, keepdims=True)
