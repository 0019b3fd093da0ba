"""Whether one classifier is better than another, or only luckier on these pictures."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from tfmodels.evaluation import FIGURES

RESAMPLES = 10_000
LEVEL = 0.05  # a p-value below this is called significant


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test: are two classifiers right equally often?

    Only pictures on which exactly one is right tell; were both as good, either would be right on
    half of them: a two-sided binomial test (McNemar 1947; Dietterich 1998).

    Args:
        labels: true classes (n,).
        first, second: predicted classes (n,).

    Returns:
        How many pictures only the first is right on, how many only the second, and the p-value.
    """
    won = int(((first == labels) & (second != labels)).sum())
    lost = int(((first != labels) & (second == labels)).sum())
    return won, lost, float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def bootstrap(
    labels: np.ndarray,
    predicted: Sequence[np.ndarray],
    classes: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The four figures of several classifiers on resamples of the pictures, the same for all.

    The percentile bootstrap of Efron and Tibshirani 1993. Pictures that agree in their label
    and in what every classifier says are interchangeable, so instead of pictures a resample
    draws how many of each kind it holds: the same distribution, in a fraction of the time.

    Args:
        labels: true classes (n,), int.
        predicted: predicted classes (n,) of each classifier.
        classes: number of classes.
        resamples, seed: how many to draw, and of what random numbers.

    Returns:
        For each key of `FIGURES`, fractions (n_classifiers, resamples).
    """
    kinds, counts = np.unique(np.stack([labels, *predicted]), axis=1, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(
        len(labels), counts / len(labels), size=resamples
    )
    drawn = drawn.astype(np.float64)
    support = _per_class(drawn, kinds[0], classes)
    figures = [_figures(drawn, kinds[0], said, support, classes) for said in kinds[1:]]
    return {key: np.stack([row[key] for row in figures]) for key in FIGURES}


def _figures(
    drawn: np.ndarray, true: np.ndarray, said: np.ndarray, support: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    hits = _per_class(np.where(true == said, drawn, 0), true, classes)
    named = _per_class(drawn, said, classes)
    recall = hits / np.maximum(support, 1)
    macro_recall = recall.mean(axis=1)
    return {
        "mean_class_accuracy": macro_recall,
        "f1": (2 * hits / np.maximum(support + named, 1)).mean(axis=1),
        "precision": (hits / np.maximum(named, 1)).mean(axis=1),
        "recall": macro_recall,
    }


def _per_class(drawn: np.ndarray, of_kind: np.ndarray, classes: int) -> np.ndarray:
    return drawn @ np.eye(classes)[of_kind]


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of resampled values (resamples,)."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A classifier against a rival on the same pictures; accuracies are fractions."""

    accuracy: float  # mean class accuracy
    rival: float
    low: float  # of the difference, 95 % bootstrap
    high: float
    won: int  # pictures that only the classifier is right on
    lost: int  # pictures that only the rival is right on
    p: float  # McNemar's exact test
    pictures: int

    def in_words(self) -> str:
        """Such as "97.75 % against 97.44 %: +0.31 points (...): not a significant gain".

        Gain or loss of pictures recognised, which is what McNemar's test is about. The mean over
        the classes can differ from it in sign where they are unequally frequent; then it says so.
        """
        kind = "difference"
        if self.won != self.lost:
            kind = "gain" if self.won > self.lost else "loss"
        differ = (self.won - self.lost) * (self.accuracy - self.rival) < 0
        note = ", whatever their classes" if differ else ""
        verdict = f"a significant {kind}" if self.p < LEVEL else f"not a significant {kind}"
        return (
            f"{100 * self.accuracy:.2f} % against {100 * self.rival:.2f} %: {self.points()}, "
            f"{self.won} pictures won and {self.lost} lost, McNemar p = {self.p:.2g}: "
            f"{verdict} on {self.pictures:,} pictures{note}"
        )

    def points(self) -> str:
        """The difference and its interval, such as "+0.31 points (95 % CI -0.02 to +0.64)"."""
        difference = round(100 * (self.accuracy - self.rival), 2) + 0.0  # no minus zero
        return f"{difference:+.2f} points (95 % CI {100 * self.low:+.2f} to {100 * self.high:+.2f})"
