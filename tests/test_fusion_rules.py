import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from tfmodels import fusion
from tfmodels.evaluation import negative_log_likelihood
from tfmodels.fusion.rules import METHODS, fuse_geometric, fuse_power, fuse_sum, fuse_vote, fuse_weighted
from tfmodels.config import FUSION_METHODS


def networks(n_models=3, n=60, classes=4, seed=0, skill=1.0):
    """Probabilities (n_models, n, classes) of networks that know something, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = skill * np.eye(classes)[labels] + rng.normal(size=(n_models, n, classes))
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(axis=2, keepdims=True)).astype(np.float32), labels


several = st.builds(networks, st.integers(2, 4), seed=st.integers(0, 10**6))
quickly = settings(max_examples=10, deadline=None)


def accuracy(probabilities, labels):
    right = probabilities.argmax(axis=1) == labels
    return np.mean([right[labels == label].mean() for label in np.unique(labels)])


def test_the_command_line_offers_every_method():
    assert tuple(METHODS) == FUSION_METHODS


def test_the_sum_is_scikit_learns_soft_vote():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(200, 5)), rng.integers(0, 3, 200)
    voting = VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft")
    voting.fit(features, labels)
    members = np.stack([member.predict_proba(features) for member in voting.estimators_])
    np.testing.assert_allclose(fuse_sum(members), voting.predict_proba(features), atol=1e-12)


def test_rules_by_hand():
    pair = np.array([[[0.5, 0.4, 0.1]], [[0.2, 0.4, 0.4]]])
    np.testing.assert_allclose(fuse_sum(pair), [[0.35, 0.4, 0.25]])
    product = np.sqrt([0.10, 0.16, 0.04])
    np.testing.assert_allclose(fuse_geometric(pair), [product / product.sum()])
    harmonic = np.array([2 / (2 + 5), 2 / (2.5 + 2.5), 2 / (10 + 2.5)])
    np.testing.assert_allclose(fuse_power(pair, -1), [harmonic / harmonic.sum()])
    np.testing.assert_allclose(fuse_weighted(pair, np.array([0.75, 0.25])), [[0.425, 0.4, 0.175]])
    np.testing.assert_allclose(fuse_power(pair, 1), fuse_sum(pair))
    largest = np.array([[0.5, 0.4, 0.4]]) / 1.3
    np.testing.assert_allclose(fuse_power(pair, 200), largest, atol=5e-3)


def test_votes_count_first_and_the_sum_decides_between_equals():
    members = np.array([[[0.4, 0.6, 0.0]], [[0.4, 0.6, 0.0]], [[1.0, 0.0, 0.0]]])
    assert fuse_sum(members).argmax() == 0
    assert fuse_vote(members).argmax() == 1
    assert fuse_vote(members[1:]).argmax() == 0
    np.testing.assert_allclose(fuse_vote(members), [[1 + 0.6, 2 + 0.4, 0]] / np.float64(4))


def test_of_classes_that_tie_the_first_counts():
    members = np.array([[[0.6, 0.4]], [[0.4, 0.6]]])
    for method in ("sum", "geometric", "vote"):
        rule, _ = METHODS[method](members, np.array([1]))
        assert rule(members).argmax() == 0


@pytest.mark.parametrize("method", METHODS)
@given(several)
@quickly
def test_rows_stay_probabilities_and_order_does_not_matter(method, case):
    members, labels = case
    fused = METHODS[method](members, labels)[0](members)
    np.testing.assert_allclose(fused.sum(axis=1), 1, atol=1e-6)
    assert (fused >= 0).all()
    assert fused.dtype == np.float64
    turned = METHODS[method](members[::-1], labels)[0](members[::-1])
    if method == "weighted":  # of equally good weights another may be found
        assert accuracy(turned, labels) == pytest.approx(accuracy(fused, labels), abs=0.05)
    else:
        np.testing.assert_allclose(turned, fused, atol=1e-3 if method == "stacking" else 1e-9)


@pytest.mark.parametrize("method", ["sum", "geometric", "power", "weighted", "vote"])
@given(several)
@quickly
def test_a_copy_of_itself_changes_nothing(method, case):
    members, labels = case
    twice = np.stack([members[0], members[0]])
    fused = METHODS[method](twice, labels)[0](twice)
    np.testing.assert_array_equal(fused.argmax(axis=1), members[0].argmax(axis=1))
    if method != "vote":
        np.testing.assert_allclose(fused, members[0], atol=1e-6)


@given(several)
@quickly
def test_what_weights_learn_is_never_worse_than_the_best_member(case):
    members, labels = case
    rule, learned = METHODS["weighted"](members, labels)
    best = max(accuracy(member, labels) for member in members)
    assert accuracy(rule(members), labels) >= best
    assert sum(learned["weights"]) == pytest.approx(1)
    assert min(learned["weights"]) >= 0


@given(st.builds(networks, st.just(2), seed=st.integers(0, 10**6)))
@quickly
def test_the_search_for_two_weights_finds_the_best_there_is(case):
    members, labels = case
    found = accuracy(METHODS["weighted"](members, labels)[0](members), labels)
    shares = np.linspace(0, 1, 401)
    tried = [accuracy(fuse_weighted(members, np.array([w, 1 - w])), labels) for w in shares]
    assert found >= max(tried) - 1e-12


def test_equal_weights_where_nothing_is_better():
    members = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]]])
    assert METHODS["weighted"](members, np.array([0, 1]))[1] == {"weights": [0.5, 0.5]}


def test_greedy_selection_leaves_out_who_does_not_help():
    members, labels = networks(2, 400, skill=3)
    noise = np.random.default_rng(1).dirichlet(np.ones(4), 400).astype(np.float32)
    weights = METHODS["weighted"](np.stack([noise, *members]), labels)[1]["weights"]
    assert weights[0] < 0.15


def test_the_exponent_learned_is_the_best_of_the_grid():
    members, labels = networks(3, 500)
    rule, learned = METHODS["power"](members, labels)
    tried = [accuracy(fuse_power(members, e), labels) for e in fusion.EXPONENTS]
    assert learned["exponent"] in fusion.EXPONENTS
    assert accuracy(rule(members), labels) == max(tried)


def test_stacking_learns_whom_to_believe():
    first, labels = networks(1, 600, seed=1, skill=3)
    liar = np.roll(np.eye(4), 1, axis=1)[labels][None].astype(np.float32)  # always one class off
    members = np.concatenate([first, liar])
    rule, _ = METHODS["stacking"](members[:, :300], labels[:300])
    assert accuracy(rule(members[:, 300:]), labels[300:]) > 0.99
    assert accuracy(fuse_sum(members[:, 300:]), labels[300:]) < 0.5


def test_stacking_gives_a_class_that_validation_lacks_no_probability():
    members, labels = networks(2, 50)
    labels = np.where(labels == 2, 1, labels)
    fused = METHODS["stacking"](members, labels)[0](members)
    assert fused.shape == (50, 4)
    assert not fused[:, 2].any()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_calibration_finds_a_known_temperature(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 5)) * 2
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (truth.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    said = fusion.temper(truth, 1 / temperature)  # logits times the temperature
    found = fusion.fit_temperature(said, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    calibrated = fusion.temper(said, found)
    np.testing.assert_array_equal(calibrated.argmax(axis=1), said.argmax(axis=1))
    assert negative_log_likelihood(labels, calibrated) <= negative_log_likelihood(labels, said)


def test_a_probability_of_zero_does_no_harm():
    members = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    for method in METHODS:
        fused = METHODS[method](members, np.array([0, 1]))[0](members)
        np.testing.assert_allclose(fused.sum(axis=1), 1)


def test_held_out_pictures_are_fused_by_what_others_taught():
    members, labels = networks(2, 200)
    held_out = fusion.fuse_held_out("sum", members, labels)
    np.testing.assert_array_equal(held_out, fuse_sum(members))
    noise = networks(4, 100, skill=0)[0]
    labels = np.random.default_rng(5).integers(0, 4, 100)
    rule, _ = METHODS["stacking"](noise, labels)
    assert accuracy(rule(noise), labels) > 0.45  # it fits noise
    assert accuracy(fusion.fuse_held_out("stacking", noise, labels), labels) < 0.4
