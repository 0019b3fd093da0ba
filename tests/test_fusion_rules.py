from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from tfmodels.evaluation import negative_log_likelihood
from tfmodels.fusion import methods, rules
from tfmodels.fusion.rules import (
    METHODS,
    fuse_geometric,
    fuse_power,
    fuse_sum,
    fuse_vote,
    fuse_weighted,
)

Case = tuple[np.ndarray, np.ndarray]


def networks(
    n_models: int = 3, n: int = 60, classes: int = 4, seed: int = 0, skill: float = 1.0
) -> Case:
    """Probabilities (n_models, n, classes) of networks better than chance, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = skill * np.eye(classes)[labels] + rng.normal(size=(n_models, n, classes))
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(axis=2, keepdims=True)).astype(np.float32), labels


several = st.builds(networks, st.integers(2, 4), seed=st.integers(0, 10**6))
quickly = settings(max_examples=10, deadline=None)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    right = probabilities.argmax(axis=1) == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def test_the_command_line_offers_every_method() -> None:
    assert tuple(METHODS) == methods.METHODS


def test_the_sum_is_scikit_learns_soft_vote(tf_test: Any) -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(200, 5)), rng.integers(0, 3, 200)
    voting = VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft")
    voting.fit(features, labels)
    members = np.stack([member.predict_proba(features) for member in voting.estimators_])
    tf_test.assertAllClose(
        fuse_sum(members), voting.predict_proba(features), rtol=1e-12, atol=1e-12
    )


def test_rules_by_hand(tf_test: Any) -> None:
    pair = np.array([[[0.5, 0.4, 0.1]], [[0.2, 0.4, 0.4]]])
    tf_test.assertAllClose(fuse_sum(pair), [[0.35, 0.4, 0.25]])
    product = np.sqrt([0.10, 0.16, 0.04])
    tf_test.assertAllClose(fuse_geometric(pair), [product / product.sum()])
    harmonic = np.array([2 / (2 + 5), 2 / (2.5 + 2.5), 2 / (10 + 2.5)])
    tf_test.assertAllClose(fuse_power(pair, -1), [harmonic / harmonic.sum()])
    tf_test.assertAllClose(fuse_weighted(pair, np.array([0.75, 0.25])), [[0.425, 0.4, 0.175]])
    tf_test.assertAllClose(fuse_power(pair, 1), fuse_sum(pair))
    largest = np.array([[0.5, 0.4, 0.4]]) / 1.3
    tf_test.assertAllClose(fuse_power(pair, 200), largest, atol=5e-3)


def test_votes_count_first_and_the_sum_decides_between_equals(tf_test: Any) -> None:
    members = np.array([[[0.4, 0.6, 0.0]], [[0.4, 0.6, 0.0]], [[1.0, 0.0, 0.0]]])
    assert fuse_sum(members).argmax() == 0
    assert fuse_vote(members).argmax() == 1
    assert fuse_vote(members[1:]).argmax() == 0
    tf_test.assertAllClose(fuse_vote(members), np.array([[1 + 0.6, 2 + 0.4, 0]]) / 4)


def test_of_classes_that_tie_the_first_counts() -> None:
    members = np.array([[[0.6, 0.4]], [[0.4, 0.6]]])
    for method in ("sum", "geometric", "vote"):
        rule, _ = METHODS[method](members, np.array([1]))
        assert rule(members).argmax() == 0


@pytest.mark.parametrize("method", METHODS)
@given(several)
@quickly
def test_rows_stay_probabilities_and_order_does_not_matter(
    tf_test: Any, method: str, case: Case
) -> None:
    members, labels = case
    fused = METHODS[method](members, labels)[0](members)
    tf_test.assertAllClose(fused.sum(axis=1), np.ones(len(fused)), atol=1e-6)
    assert (fused >= 0).all()
    assert fused.dtype == np.float64
    reversed_order = METHODS[method](members[::-1], labels)[0](members[::-1])
    if method == "weighted":  # of equally good weights another may be found
        assert accuracy(reversed_order, labels) == pytest.approx(accuracy(fused, labels), abs=0.05)
    else:
        tf_test.assertAllClose(reversed_order, fused, atol=1e-3 if method == "stacking" else 1e-9)


@pytest.mark.parametrize("method", ["sum", "geometric", "power", "weighted", "vote"])
@given(several)
@quickly
def test_a_copy_of_itself_changes_nothing(tf_test: Any, method: str, case: Case) -> None:
    members, labels = case
    twice = np.stack([members[0], members[0]])
    fused = METHODS[method](twice, labels)[0](twice)
    tf_test.assertAllEqual(fused.argmax(axis=1), members[0].argmax(axis=1))
    if method != "vote":
        tf_test.assertAllClose(fused, members[0], atol=1e-6)


@given(several)
@quickly
def test_learned_weights_are_never_worse_than_the_best_member(case: Case) -> None:
    members, labels = case
    rule, learned = METHODS["weighted"](members, labels)
    best = max(accuracy(member, labels) for member in members)
    assert accuracy(rule(members), labels) >= best
    assert sum(learned["weights"]) == pytest.approx(1)
    assert min(learned["weights"]) >= 0


@given(st.builds(networks, st.just(2), seed=st.integers(0, 10**6)))
@quickly
def test_two_weights_are_the_best_of_a_grid(case: Case) -> None:
    members, labels = case
    found = accuracy(METHODS["weighted"](members, labels)[0](members), labels)
    shares = np.linspace(0, 1, 101)
    tried = [accuracy(fuse_weighted(members, np.array([w, 1 - w])), labels) for w in shares]
    assert found == max(tried)


def test_equal_weights_where_nothing_is_better() -> None:
    members = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]]])
    assert METHODS["weighted"](members, np.array([0, 1]))[1] == {"weights": [0.5, 0.5]}


def test_greedy_selection_leaves_out_what_does_not_help() -> None:
    members, labels = networks(2, 400, skill=3)
    noise = np.random.default_rng(1).dirichlet(np.ones(4), 400).astype(np.float32)
    weights = METHODS["weighted"](np.stack([noise, *members]), labels)[1]["weights"]
    assert weights[0] < 0.15


def test_the_exponent_learned_is_the_best_of_the_grid() -> None:
    members, labels = networks(3, 500)
    rule, learned = METHODS["power"](members, labels)
    tried = [accuracy(fuse_power(members, e), labels) for e in rules.EXPONENTS]
    assert learned["exponent"] in rules.EXPONENTS
    assert accuracy(rule(members), labels) == max(tried)


def test_stacking_learns_which_member_is_right() -> None:
    first, labels = networks(1, 600, seed=1, skill=3)
    always_wrong = np.roll(np.eye(4), 1, axis=1)[labels][None].astype(np.float32)
    members = np.concatenate([first, always_wrong])
    rule, _ = METHODS["stacking"](members[:, :300], labels[:300])
    assert accuracy(rule(members[:, 300:]), labels[300:]) > 0.99
    assert accuracy(fuse_sum(members[:, 300:]), labels[300:]) < 0.5


def test_stacking_gives_a_class_that_validation_lacks_no_probability() -> None:
    members, labels = networks(2, 50)
    labels = np.where(labels == 2, 1, labels)
    fused = METHODS["stacking"](members, labels)[0](members)
    assert fused.shape == (50, 4)
    assert not fused[:, 2].any()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_calibration_finds_a_known_temperature(temperature: float, tf_test: Any) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 5)) * 2
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (truth.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    probabilities = rules.temper(truth, 1 / temperature)  # logits times the temperature
    found = rules.fit_temperature(probabilities, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    calibrated = rules.temper(probabilities, found)
    tf_test.assertAllEqual(calibrated.argmax(axis=1), probabilities.argmax(axis=1))
    assert negative_log_likelihood(labels, calibrated) <= negative_log_likelihood(
        labels, probabilities
    )


def test_a_probability_of_zero_does_no_harm(tf_test: Any) -> None:
    members = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    for method in METHODS:
        fused = METHODS[method](members, np.array([0, 1]))[0](members)
        tf_test.assertAllClose(fused.sum(axis=1), np.ones(len(fused)))


def test_held_out_images_are_fused_by_a_rule_fitted_to_others(tf_test: Any) -> None:
    members, labels = networks(2, 200)
    held_out = rules.fuse_held_out("sum", members, labels)
    tf_test.assertAllEqual(held_out, fuse_sum(members))
    noise = networks(4, 100, skill=0)[0]
    labels = np.random.default_rng(5).integers(0, 4, 100)
    rule, _ = METHODS["stacking"](noise, labels)
    assert accuracy(rule(noise), labels) > 0.45  # it fits noise
    assert accuracy(rules.fuse_held_out("stacking", noise, labels), labels) < 0.4
