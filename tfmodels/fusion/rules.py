"""Late fusion: rules that combine the probabilities of several networks for the same images.

Rules take probabilities (n_models, n, classes) and return (n, classes), rows summing to 1,
computed in float64. Of classes that tie (but for rounding) the first counts, as in `evaluate`.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from tfmodels.evaluation import TINY, negative_log_likelihood

Rule = Callable[[np.ndarray], np.ndarray]

EXPONENTS = (1, 0.5, 2, 0, 4, -0.5, -1, 8, -2, -4)  # from the sum rule outwards
SHARES = 101  # of the first of two networks, from 0 to 1
ROUNDS = 50  # of greedy selection
FOLDS = 5  # of validation images, each fused by a rule fitted to the other folds
STACKING_C = 1.0  # scikit-learn's inverse strength of regularisation


def fuse_sum(probabilities: np.ndarray) -> np.ndarray:
    """Return the mean of the networks' probabilities: the study's rule, which doesn't divide.

    The sum rule of Kittler et al. 1998 (On combining classifiers).
    """
    mean: np.ndarray = probabilities.mean(axis=0, dtype=np.float64)
    return mean


def fuse_geometric(probabilities: np.ndarray) -> np.ndarray:
    """Return the normalised geometric mean, which ranks as the product rule (Kittler et al.)."""
    return fuse_power(probabilities, 0)


def fuse_power(probabilities: np.ndarray, exponent: float) -> np.ndarray:
    """Return the normalised power mean: 1 is the sum rule, 0 the geometric mean, -1 the harmonic.

    Towards minus and plus infinity it becomes the minimum and maximum rules of Kittler et al.
    1998.
    """
    total = np.zeros(probabilities.shape[1:])
    for member in probabilities:  # one at a time: float64 copies of all would not fit
        values = np.maximum(member, TINY, dtype=np.float64)
        total += np.log(values) if exponent == 0 else values**exponent
    total /= len(probabilities)
    return _normalised(np.exp(total) if exponent == 0 else total ** (1 / exponent))


def fuse_weighted(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean, with weights (n_models,) that sum to 1."""
    mean: np.ndarray = np.einsum("mnc,m->nc", probabilities, weights.astype(np.float64))
    return mean


def fuse_vote(probabilities: np.ndarray) -> np.ndarray:
    """Return the fractions of votes: each network votes for its most probable class.

    The mean probability counts as one more vote, so that the sum rule decides between equals.
    """
    n_models, n, _ = probabilities.shape
    votes = fuse_sum(probabilities)
    for member in probabilities:
        votes[np.arange(n), member.argmax(axis=1)] += 1
    votes /= n_models + 1
    return votes


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits by a temperature: above 1 less confident, below 1 more (n, classes).

    Logarithms of probabilities serve as logits, from which they differ by a constant a row.
    """
    return _normalised(np.maximum(probabilities, TINY, dtype=np.float64) ** (1 / temperature))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature (0.05 to 20) with the lowest negative log-likelihood.

    Guo et al. 2017 (arXiv:1706.04599). It is for the fused output, not the members: the mean of
    calibrated members is under-confident (Rahaman and Thiery 2021, arXiv:2007.08792).
    """

    def loss(log_temperature: float) -> float:
        """Return the loss by the temperature's logarithm, so that steps are even."""
        return negative_log_likelihood(labels, temper(probabilities, np.exp(log_temperature)))

    return float(np.exp(minimize_scalar(loss, bounds=np.log([0.05, 20]), method="bounded").x))


def _fit_power(probabilities: np.ndarray, labels: np.ndarray) -> tuple[Rule, dict[str, Any]]:
    rules = [functools.partial(fuse_power, exponent=exponent) for exponent in EXPONENTS]
    best = max(rules, key=lambda rule: _scores(rule(probabilities), labels))
    return best, best.keywords


def _fit_weighted(probabilities: np.ndarray, labels: np.ndarray) -> tuple[Rule, dict[str, Any]]:
    search = _search_shares if len(probabilities) == 2 else _select_greedily
    weights = search(probabilities, labels)
    return functools.partial(fuse_weighted, weights=weights), {"weights": weights.tolist()}


def _search_shares(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the weights of two networks with the highest mean class accuracy on a grid.

    Of equally good ones, those that are closest to equal weights.
    """
    shares = sorted(np.linspace(0, 1, SHARES), key=lambda share: abs(share - 0.5))
    weights = [np.array([share, 1 - share]) for share in shares]
    return max(weights, key=lambda pair: _accuracy(fuse_weighted(probabilities, pair), labels))


def _select_greedily(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return weights by greedy selection with replacement (Caruana et al. 2004).

    Each round adds the network that helps most, starting with none; the best round counts. The
    first is the best network alone.
    """
    counts = np.zeros(len(probabilities), int)
    total = np.zeros(probabilities.shape[1:])
    rounds = []
    for size in range(1, ROUNDS + 1):
        scores = [_scores((total + member) / size, labels) for member in probabilities]
        chosen = max(range(len(scores)), key=scores.__getitem__)
        counts[chosen] += 1
        total += probabilities[chosen]
        rounds.append((scores[chosen], counts / size))
    return max(rounds, key=lambda entry: entry[0])[1]


def _fit_stacking(probabilities: np.ndarray, labels: np.ndarray) -> tuple[Rule, dict[str, Any]]:
    """Fit a logistic regression on log-probabilities (Wolpert 1992), L2-regularised."""
    classes = probabilities.shape[2]
    model = LogisticRegression(C=STACKING_C, solver="newton-cholesky", tol=1e-6)
    model.fit(_log_features(probabilities), labels)

    def rule(probabilities: np.ndarray) -> np.ndarray:
        """Fuse; classes without a validation image are not in the regression and get 0."""
        fused = np.zeros((probabilities.shape[1], classes))
        fused[:, model.classes_] = model.predict_proba(_log_features(probabilities))
        return fused

    return rule, {"C": STACKING_C}


# By name, a function of the validation split's probabilities (n_models, n, classes) and labels
# (n,) that returns a rule and what it learned.
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
    """Fuse each image (n_models, n, classes) by a rule that was fitted to other images.

    On the images that it was fitted to, a method looks better than it is.
    """
    fused = np.empty(probabilities.shape[1:])
    split = StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels)
    for fitted_to, held_out in split:
        rule, _ = METHODS[method](probabilities[:, fitted_to], labels[fitted_to])
        fused[held_out] = rule(probabilities[:, held_out])
    return fused


def _log_features(probabilities: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.log(np.maximum(probabilities, TINY, dtype=np.float64))
    return logs.transpose(1, 0, 2).reshape(probabilities.shape[1], -1)


def _scores(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return what the best rule has most of; the second decides between equals."""
    return _accuracy(probabilities, labels), -negative_log_likelihood(labels, probabilities)


def _accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean class accuracy, as scikit-learn's `balanced_accuracy_score`, but faster."""
    correct = probabilities.argmax(axis=1) == labels
    counts = np.bincount(labels)
    recall = np.bincount(labels, weights=correct)[counts > 0] / counts[counts > 0]
    return float(recall.mean())


def _normalised(values: np.ndarray) -> np.ndarray:
    normalised: np.ndarray = values / values.sum(axis=1, keepdims=True)
    return normalised
