from collections.abc import Callable
from pathlib import Path

import pytest

from tfmodels.fusion.comparison import compare
from tfmodels.fusion.members import Members, load_members
from tfmodels.fusion.rules import fuse_sum
from tfmodels.runs.directory import read_json, write_json


@pytest.fixture
def members(make_run: Callable[..., Path]) -> Members:
    return load_members([make_run("first", seed=1), make_run("second", 2.4, 2, order_seed=5)])


def test_the_rival_is_the_best_on_validation_whatever_the_test_says(members: Members) -> None:
    validation = {"first": 0.99, "second": 0.5}
    for name, run in zip(members.names, members.paths, strict=True):
        metrics = read_json(run / "metrics.json")
        metrics["val"]["mean_class_accuracy"] = validation[name]
        write_json(run / "metrics.json", metrics)
    comparison = compare(members, {"fusion": fuse_sum(members.splits["test"][2])})
    assert comparison["rival"] == "first"
    difference, metrics = comparison["differences"]["fusion"], comparison["metrics"]
    assert difference["rival"] == metrics["first"]["mean_class_accuracy"]
    assert difference["accuracy"] == metrics["fusion"]["mean_class_accuracy"]


def test_the_oracle_is_correct_where_any_member_is(members: Members) -> None:
    _, labels, probabilities = members.splits["test"]
    comparison = compare(members, {"fusion": fuse_sum(probabilities)})
    correct = (probabilities.argmax(axis=2) == labels).any(axis=0)
    assert comparison["metrics"]["oracle"]["accuracy"] == pytest.approx(correct.mean())
    low, high = comparison["intervals"]["oracle"]["mean_class_accuracy"]
    assert low <= comparison["metrics"]["oracle"]["mean_class_accuracy"] <= high
