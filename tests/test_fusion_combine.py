import csv
import hashlib
import itertools

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tfmodels import ensemble, runs
from tfmodels.ensemble import compare, fuse, fusion_path, run_fusion, table_of_methods
from tfmodels.errors import UsageError
from tfmodels.fusion.rules import METHODS, fit_temperature, fuse_held_out, fuse_sum
from tfmodels.fusion.members import load_members
from tfmodels.runs.predictions import load_mistakes, load_predictions


@pytest.fixture
def members(make_run):
    return load_members([make_run("first", seed=1), make_run("second", 2.4, 2, order_seed=5)])


def test_a_fusion_is_a_run_like_any_other(members, make_run, tmp_path):
    path = fusion_path(tmp_path, members, "sum", False)
    text = run_fusion(members, "sum", False, path)
    assert "points (95 % CI" in text
    assert runs.is_complete(path)
    assert all((path / file).is_file() for file in runs.RESULTS)
    config = runs.read_json(path / "config.json")
    for told, run in zip(config["members"], members.paths, strict=True):
        content = (run / "predictions.npz").read_bytes()
        assert told["sha256"] == hashlib.sha256(content).hexdigest()
    splits, _ = load_predictions(path / "predictions.npz")
    _, labels, probabilities = members.splits["test"]
    np.testing.assert_allclose(splits["test"].probabilities, probabilities.mean(axis=0), atol=1e-6)
    metrics = runs.read_json(path / "metrics.json")["test"]
    expected = balanced_accuracy_score(labels, probabilities.sum(axis=0).argmax(axis=1))
    assert metrics["mean_class_accuracy"] == pytest.approx(expected)
    again = load_members([path, make_run("third", seed=3)])  # fusions can be fused
    assert again.splits["test"][2].shape == (2, 150, 3)


def test_the_pictures_of_its_mistakes_come_from_its_members(members, tmp_path):
    run_fusion(members, "sum", False, tmp_path / "fused")
    test = load_predictions(tmp_path / "fused" / "predictions.npz")[0]["test"]
    wrong = test.ids[test.probabilities.argmax(axis=1) != test.labels]
    pictures = load_mistakes(tmp_path / "fused" / "mistakes.npz")
    assert set(pictures) == set(wrong.tolist())
    theirs = [load_mistakes(run / "mistakes.npz") for run in members.paths]
    for id, picture in pictures.items():
        assert any((picture == known[id]).all() for known in theirs if id in known)


def test_the_rival_is_the_best_on_validation_whatever_the_test_says(members):
    validation = {"first": 0.99, "second": 0.5}
    for name, run in zip(members.names, members.paths, strict=True):
        metrics = runs.read_json(run / "metrics.json")
        metrics["val"]["mean_class_accuracy"] = validation[name]
        runs.write_json(run / "metrics.json", metrics)
    told = compare(members, {"fusion": fuse_sum(members.splits["test"][2])})
    assert told["rival"] == "first"
    figures = told["figures"]
    assert told["differences"]["fusion"]["rival"] == figures["first"]["mean_class_accuracy"]
    assert told["differences"]["fusion"]["accuracy"] == figures["fusion"]["mean_class_accuracy"]


def test_the_oracle_is_right_where_any_member_is(members):
    _, labels, probabilities = members.splits["test"]
    told = compare(members, {"fusion": fuse_sum(probabilities)})
    right = (probabilities.argmax(axis=2) == labels).any(axis=0)
    assert told["figures"]["oracle"]["accuracy"] == pytest.approx(right.mean())
    low, high = told["intervals"]["oracle"]["mean_class_accuracy"]
    assert low <= told["figures"]["oracle"]["mean_class_accuracy"] <= high


@pytest.mark.parametrize(("method", "calibrate"), itertools.product(METHODS, (False, True)))
def test_what_learns_learns_on_validation_alone(members, method, calibrate):
    fused, learned = fuse(members, method, calibrate)
    labels = members.splits["test"][1]
    labels[:] = (labels + 1) % 3
    again, relearned = fuse(members, method, calibrate)
    assert learned == relearned
    for split in ("val", "test"):
        np.testing.assert_array_equal(fused[split], again[split])


def test_validation_pictures_are_fused_by_what_was_learned_from_others(members):
    _, labels, probabilities = members.splits["val"]
    held_out = fuse_held_out("stacking", probabilities, labels)
    np.testing.assert_allclose(fuse(members, "stacking")[0]["val"], held_out, atol=1e-6)
    rule, _ = METHODS["stacking"](probabilities, labels)
    assert abs(rule(probabilities) - held_out).max() > 1e-3
    _, learned = fuse(members, "stacking", calibrate=True)
    assert learned["temperature"] == fit_temperature(held_out, labels)


def test_too_few_validation_pictures_of_a_class_are_refused(members, tmp_path):
    ids, labels, probabilities = members.splits["val"]
    kept = np.sort(np.concatenate([np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)[:4]]))
    members.splits["val"] = (ids[kept], labels[kept], probabilities[:, kept])
    with pytest.raises(UsageError, match="stacking learns from .* of River there are 4, where 5"):
        fuse(members, "stacking")
    with pytest.raises(UsageError, match="--all-methods learns from"):
        table_of_methods(members, False, tmp_path)


def test_a_fusion_never_takes_the_place_of_a_member(members):
    with pytest.raises(UsageError, match="first is one of the runs to fuse: name another"):
        run_fusion(members, "sum", False, members.paths[0], overwrite=True)
    assert (members.paths[0] / "history.csv").exists()


def test_its_command_names_members_and_method(members, tmp_path):
    run_fusion(members, "vote", True, tmp_path / "fused")
    first, second = map(str, members.paths)
    assert runs.read_json(tmp_path / "fused" / "config.json")["command"] == [
        *("fuse.py", first, second, "--method", "vote", "--calibrate")
    ]


def test_calibration_changes_confidence_but_no_class(members):
    plain, _ = fuse(members, "sum")
    calibrated, learned = fuse(members, "sum", calibrate=True)
    assert learned["temperature"] != pytest.approx(1, abs=0.01)
    for split in ("val", "test"):
        np.testing.assert_array_equal(plain[split].argmax(axis=1), calibrated[split].argmax(axis=1))
        assert abs(plain[split] - calibrated[split]).max() > 0.01


@pytest.mark.parametrize(("method", "calibrate"), [("weighted", False), ("sum", True)])
def test_without_common_validation_nothing_can_learn(members, tmp_path, method, calibrate):
    del members.splits["val"]
    word = "--calibrate" if calibrate else "--method weighted"
    with pytest.raises(UsageError, match=f"{word} learns from validation pictures"):
        run_fusion(members, method, calibrate, tmp_path / "fused")
    assert not (tmp_path / "fused").exists()
    with pytest.raises(UsageError, match="--all-methods learns from validation pictures"):
        table_of_methods(members, False, tmp_path)
    run_fusion(members, "sum", False, tmp_path / "fused")
    assert list(runs.read_json(tmp_path / "fused" / "metrics.json")) == ["test"]


def test_the_path_names_the_members_whatever_their_order(members, tmp_path):
    path = fusion_path(tmp_path, members, "sum", True)
    assert path.name.startswith("eurosat_fusion_sum_")
    assert path.name.endswith("_calibrated")
    turned = load_members(members.paths[::-1])
    assert fusion_path(tmp_path, turned, "sum", True) == path


def test_a_table_of_all_methods(members, tmp_path):
    table = table_of_methods(members, False, tmp_path)
    path = fusion_path(tmp_path, members, "methods", False)
    kept = path.with_name(path.name + ".md").read_text()
    assert kept.startswith("run 1: first  \nrun 2: second  \n")
    told, _, note = table.rpartition("\n")
    assert told in kept
    assert note == f"kept, with all figures: {path}.md, .csv"
    with path.with_name(path.name + ".csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["first", "second", *METHODS, "oracle"]
    _, labels, probabilities = members.splits["val"]
    on_validation = balanced_accuracy_score(labels, fuse_sum(probabilities).argmax(axis=1))
    assert rows["sum"]["validation (5-fold)"] == f"{100 * on_validation:.2f}"
    for method in METHODS:
        figures = compare(members, {method: fuse(members, method)[0]["test"]})["figures"][method]
        accuracy = f"{100 * figures['mean_class_accuracy']:.2f}"
        assert rows[method]["mean class accuracy"] == accuracy


def test_the_learning_methods_are_those_that_need_validation(members):
    _, labels, probabilities = members.splits["val"]
    learned = {name for name, fit in METHODS.items() if fit(probabilities, labels)[1]}
    assert learned == set(ensemble.LEARNING)
