from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import change_arrays
from tfmodels.fusion.comparison import compare, diversity
from tfmodels.fusion.members import Members, load_members
from tfmodels.fusion.rules import fuse_sum
from tfmodels.runs.manifest import write_manifest
from tfmodels.safe_files import write_json


@pytest.fixture
def members(make_run: Callable[..., Path]) -> Members:
    return load_members([make_run("first", seed=1), make_run("second", 2.4, 2, order_seed=5)])


def test_the_rival_is_the_best_on_validation_whatever_the_test_says(members: Members) -> None:
    fused = {"fusion": fuse_sum(members.splits["test"][2])}
    assert compare(members, fused)["rival"] == "second"  # it has more skill on both splits
    first, second = (run.path for run in members.runs)
    labels = members.runs[0].predictions()["val"].labels
    perfect = np.eye(3, dtype="float32")[labels]
    change_arrays(first / "predictions.npz", val_probabilities=perfect)
    write_manifest(first)
    comparison = compare(load_members([first, second]), fused)
    assert comparison["rival"] == "first"
    difference, metrics = comparison["differences"]["fusion"], comparison["metrics"]
    assert difference["rival"] == metrics["first"]["mean_class_accuracy"]
    assert difference["accuracy"] == metrics["fusion"]["mean_class_accuracy"]


@pytest.mark.parametrize("forged", [2.0, "97", None])
def test_the_rival_is_found_from_predictions_not_from_metrics_json(
    members: Members, forged: object
) -> None:
    first, second = (run.path for run in members.runs)
    write_json(first / "metrics.json", {"val": {"mean_class_accuracy": forged}})
    write_manifest(first)
    members = load_members([first, second])
    comparison = compare(members, {"fusion": fuse_sum(members.splits["test"][2])})
    assert comparison["rival"] == "second"


def test_the_oracle_is_correct_where_any_member_is(members: Members) -> None:
    _, labels, probabilities = members.splits["test"]
    comparison = compare(members, {"fusion": fuse_sum(probabilities)})
    correct = (probabilities.argmax(axis=2) == labels).any(axis=0)
    assert comparison["metrics"]["oracle"]["accuracy"] == pytest.approx(correct.mean())
    low, high = comparison["intervals"]["oracle"]["mean_class_accuracy"]
    assert low <= comparison["metrics"]["oracle"]["mean_class_accuracy"] <= high


def test_diversity_of_members() -> None:
    labels = np.zeros(8, int)
    same = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    other = np.array([1, 0, 0, 0, 0, 0, 0, 2])
    assert diversity(labels, np.stack([same, same])) == {
        "disagreement": 0.0,
        "error_correlation": pytest.approx(1.0),
    }
    found = diversity(labels, np.stack([same, other, labels]))
    assert found["disagreement"] == pytest.approx((3 + 2 + 2) / 8 / 3)
    pair = np.corrcoef(same != 0, other != 0)[0, 1]
    assert found["error_correlation"] == pytest.approx(pair / 3)  # labels are never wrong
