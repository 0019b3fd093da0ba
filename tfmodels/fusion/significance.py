"""Statistical tests of whether two classifiers differ significantly."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from tfmodels.evaluation import METRICS

RESAMPLES = 10_000
LEVEL = 0.05  # a p-value below this is called significant


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Test by McNemar's exact test whether two classifiers are correct equally often.

    Only images on which exactly one is correct are informative; under the null hypothesis either
    is correct on half of them: a two-sided binomial test (McNemar 1947; Dietterich 1998).

    Args:
        labels: true classes (n,).
        first: classes (n,) predicted by one classifier.
        second: classes (n,) predicted by the other.

    Returns:
        On how many images only the first is correct, on how many only the second, and the
        p-value.
    """
    gained = int(((first == labels) & (second != labels)).sum())
    lost = int(((first != labels) & (second == labels)).sum())
    differ = gained + lost
    return gained, lost, float(binomtest(gained, differ).pvalue) if differ else 1.0


def bootstrap(
    labels: np.ndarray,
    predicted: Sequence[np.ndarray],
    classes: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return the metrics of several classifiers on resamples of the images, the same for all.

    The percentile bootstrap of Efron and Tibshirani 1993. Images with the same label and the
    same predictions of all classifiers are interchangeable, so instead of images a resample
    draws the number of images of each such kind: the same distribution in a fraction of the time.

    Args:
        labels: true classes (n,), int.
        predicted: predicted classes (n,) of each classifier.
        classes: number of classes.
        resamples: how many to draw.
        seed: of the random numbers.

    Returns:
        For each key of `METRICS`, fractions (n_classifiers, resamples).
    """
    kinds, counts = np.unique(np.stack([labels, *predicted]), axis=1, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(
        len(labels), counts / len(labels), size=resamples
    )
    drawn = drawn.astype(np.float64)
    metrics = [_metrics(drawn, kinds[0], predictions, classes) for predictions in kinds[1:]]
    return {key: np.stack([row[key] for row in metrics]) for key in METRICS}


def _metrics(
    drawn: np.ndarray, true: np.ndarray, predicted: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    """Return the metrics (resamples,) of one classifier, from counts (resamples, kinds)."""
    support = _per_class(drawn, true, classes)
    named = _per_class(drawn, predicted, classes)
    hits = _per_class(np.where(true == predicted, drawn, 0), true, classes)
    macro_recall = (hits / np.maximum(support, 1)).mean(axis=1)
    return {
        "mean_class_accuracy": macro_recall,
        "f1": (2 * hits / np.maximum(support + named, 1)).mean(axis=1),
        "precision": (hits / np.maximum(named, 1)).mean(axis=1),
        "recall": macro_recall,
    }


def _per_class(drawn: np.ndarray, class_of_kind: np.ndarray, classes: int) -> np.ndarray:
    counts: np.ndarray = drawn @ np.eye(classes)[class_of_kind]
    return counts


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled values (resamples,)."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A classifier compared with a rival on the same images.

    Attributes:
        accuracy: mean class accuracy, a fraction.
        rival: that of the rival.
        low: lower end of the 95 % bootstrap interval of their difference.
        high: its upper end.
        gained: number of images on which only the classifier is correct.
        lost: number of images on which only the rival is correct.
        p: p-value of McNemar's exact test.
        images: number of images.
    """

    accuracy: float
    rival: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    images: int

    def in_words(self) -> str:
        """Return it as "97.75 % against 97.44 %: +0.31 points (...): not a significant gain".

        McNemar's test is about the number of images classified correctly, so gain and loss are
        too. The mean over the classes may disagree in sign under class imbalance; then it says so.
        """
        kind = "difference"
        if self.gained != self.lost:
            kind = "gain" if self.gained > self.lost else "loss"
        disagree = (self.gained - self.lost) * (self.accuracy - self.rival) < 0
        note = ", in contrast to the mean over the classes" if disagree else ""
        verdict = f"a significant {kind}" if self.p < LEVEL else f"not a significant {kind}"
        return (
            f"{100 * self.accuracy:.2f} % against {100 * self.rival:.2f} %: {self.points()}, "
            f"{self.gained} images gained and {self.lost} lost, McNemar p = {self.p:.2g}: "
            f"{verdict} on {self.images:,} images{note}"
        )

    def points(self) -> str:
        """Return the difference as "+0.31 points (95 % CI -0.02 to +0.64)"."""
        difference = round(100 * (self.accuracy - self.rival), 2) + 0.0  # no minus zero
        return f"{difference:+.2f} points (95 % CI {100 * self.low:+.2f} to {100 * self.high:+.2f})"
