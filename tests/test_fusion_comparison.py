import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfmodels.fusion.comparison import compare
from tfmodels.fusion.members import Members, load_members
from tfmodels.fusion.rules import fuse_sum
from tfmodels.runs.directory import write_json
from tfmodels.runs.predictions import load_predictions, save_predictions


@pytest.fixture
def members(make_run: Callable[..., Path]) -> Members:
    return load_members([make_run("first", seed=1), make_run("second", 2.4, 2, order_seed=5)])


def test_the_rival_is_the_best_on_validation_whatever_the_test_says(members: Members) -> None:
    fused = {"fusion": fuse_sum(members.splits["test"][2])}
    assert compare(members, fused)["rival"] == "second"  # it has more skill on both splits
    path = members.paths[0] / "predictions.npz"
    splits, class_names = load_predictions(path)
    labels = splits["val"].labels
    perfect = dataclasses.replace(splits["val"], probabilities=np.eye(3, dtype="float32")[labels])
    save_predictions(path, splits | {"val": perfect}, class_names)
    comparison = compare(members, fused)
    assert comparison["rival"] == "first"
    difference, metrics = comparison["differences"]["fusion"], comparison["metrics"]
    assert difference["rival"] == metrics["first"]["mean_class_accuracy"]
    assert difference["accuracy"] == metrics["fusion"]["mean_class_accuracy"]


def test_a_changed_metrics_file_does_not_change_the_rival(members: Members) -> None:
    write_json(members.paths[0] / "metrics.json", {"val": {"mean_class_accuracy": 2.0}})
    comparison = compare(members, {"fusion": fuse_sum(members.splits["test"][2])})
    assert comparison["rival"] == "second"


def test_the_oracle_is_correct_where_any_member_is(members: Members) -> None:
    _, labels, probabilities = members.splits["test"]
    comparison = compare(members, {"fusion": fuse_sum(probabilities)})
    correct = (probabilities.argmax(axis=2) == labels).any(axis=0)
    assert comparison["metrics"]["oracle"]["accuracy"] == pytest.approx(correct.mean())
    low, high = comparison["intervals"]["oracle"]["mean_class_accuracy"]
    assert low <= comparison["metrics"]["oracle"]["mean_class_accuracy"] <= high
