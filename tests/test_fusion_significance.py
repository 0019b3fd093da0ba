from typing import Any

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import f1_score, precision_score, recall_score

from tfmodels.fusion.significance import Comparison, bootstrap, interval, mcnemar


def test_mcnemar_is_the_exact_binomial_test() -> None:
    labels = np.zeros(100, int)
    first, second = np.zeros(100, int), np.zeros(100, int)
    first[:3], second[10:22] = 1, 1  # the first alone is right on 12, the second alone on 3
    gained, lost, p = mcnemar(labels, first, second)
    assert (gained, lost) == (12, 3)
    assert p == pytest.approx(2 * binom.cdf(3, 15, 0.5))
    assert mcnemar(labels, second, first) == (3, 12, p)
    assert mcnemar(labels, first, first) == (0, 0, 1)


def plain_bootstrap(
    labels: np.ndarray, predicted: list[np.ndarray], resamples: int, seed: int
) -> np.ndarray:
    """The textbook's way: draw images."""
    rng = np.random.default_rng(seed)
    scores = (recall_score, f1_score, precision_score)
    macro: dict[str, Any] = {"average": "macro", "labels": range(3), "zero_division": 0}
    draws = [rng.integers(0, len(labels), len(labels)) for _ in range(resamples)]
    rows = [
        [
            [score(labels[drawn], classes[drawn], **macro) for score in scores]
            for classes in predicted
        ]
        for drawn in draws
    ]
    return np.array(rows).transpose(2, 1, 0)  # metrics, classifiers, resamples


def test_the_bootstrap_has_the_distribution_of_drawing_images(tf_test: Any) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    predicted = [
        np.where(rng.random(60) < skill, labels, rng.integers(0, 3, 60)) for skill in (0.5, 0.8)
    ]
    ours = bootstrap(labels, predicted, 3, resamples=4000)
    plain = plain_bootstrap(labels, predicted, 300, seed=1)
    for key, values in zip(("mean_class_accuracy", "f1", "precision"), plain, strict=True):
        tf_test.assertAllClose(ours[key].mean(axis=1), values.mean(axis=1), atol=0.01)
        tf_test.assertAllClose(ours[key].std(axis=1), values.std(axis=1), atol=0.006)
    paired = ours["f1"][1] - ours["f1"][0]
    assert paired.std() == pytest.approx((plain[1, 1] - plain[1, 0]).std(), abs=0.008)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = np.arange(300) % 3
        right = rng.random(300) < 0.8
        predicted = np.where(right, labels, (labels + 1) % 3)
        accuracies = bootstrap(labels, [predicted], 3, resamples=400, seed=seed)
        low, high = interval(accuracies["mean_class_accuracy"][0])
        covered.append(low <= 0.8 <= high)
    assert 0.90 <= np.mean(covered) <= 0.985


def test_the_same_seed_gives_the_same_resamples(tf_test: Any) -> None:
    labels = np.arange(30) % 3
    draws = [bootstrap(labels, [labels // 2], 3, 50, seed)["f1"] for seed in (1, 1, 2)]
    tf_test.assertAllEqual(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_the_verdict_in_words() -> None:
    comparison = Comparison(0.9775, 0.9744, -0.0002, 0.0064, 45, 28, 0.07, 5400)
    assert comparison.in_words() == (
        "97.75 % against 97.44 %: +0.31 points (95 % CI -0.02 to +0.64), 45 images gained and "
        "28 lost, McNemar p = 0.07: not a significant gain on 5,400 images"
    )
    lost = Comparison(0.9, 0.95, -0.07, -0.03, 1, 12, 0.001, 100)
    assert lost.in_words().endswith("McNemar p = 0.001: a significant loss on 100 images")
    same = Comparison(0.9, 0.9 + 1e-16, -0.01, 0.01, 2, 2, 1.0, 100)
    assert "+0.00 points" in same.in_words()
    assert same.in_words().endswith("not a significant difference on 100 images")


def test_the_verdict_is_about_images_not_the_mean_over_unequal_classes() -> None:
    comparison = Comparison(0.93, 0.75, 0.1, 0.25, 8, 40, 3e-6, 1020)
    assert comparison.in_words().endswith(
        ": a significant loss on 1,020 images, in contrast to the mean over the classes"
    )
