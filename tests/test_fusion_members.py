import numpy as np
import pytest

from tfmodels.errors import RunError, UsageError
from tfmodels.fusion.members import find_pretrained, load_members
from tfmodels.runs.directory import read_json, write_json


def change(run, **changes):
    config = read_json(run / "config.json")
    write_json(run / "config.json", {**config, **changes})


def rewrite(run, **arrays):
    with np.load(run / "predictions.npz") as saved:
        np.savez(run / "predictions.npz", **{**saved, **arrays})


@pytest.fixture
def pair(make_run):
    return [make_run("first", seed=1), make_run("second", seed=2, order_seed=5)]


def test_members_are_brought_into_one_order_by_id(pair):
    members = load_members(pair)
    assert members.names == ("first", "second")
    ids, labels, probabilities = members.splits["test"]
    with np.load(pair[1] / "predictions.npz") as second:
        assert (second["test_ids"] != ids).any()
        for row in (0, 7, 100):
            there = second["test_ids"].tolist().index(ids[row])
            np.testing.assert_array_equal(
                probabilities[1, row], second["test_probabilities"][there]
            )
            assert labels[row] == second["test_labels"][there]


def test_permuted_members_give_the_same_array(make_run):
    first, second = make_run("a", seed=1), make_run("b", seed=2)
    other, shuffled = make_run("c", seed=3), make_run("d", seed=2, order_seed=9)
    straight = load_members([first, second, other]).splits["test"]
    turned = load_members([first, shuffled, other]).splits["test"]
    for a, b in zip(straight, turned, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_run_or_the_same_twice_is_refused(pair, make_run):
    with pytest.raises(UsageError, match="first alone can't be fused"):
        load_members(pair[:1])
    with pytest.raises(UsageError, match="are the same run"):
        load_members([pair[0], pair[1], pair[0]])
    copy = make_run("copy", seed=1)
    with pytest.raises(UsageError, match="copy and .*first are the same run, or have the same"):
        load_members([pair[0], copy])


def test_runs_of_the_same_name_are_told_apart(make_run):
    runs = [make_run("x/run", seed=1), make_run("y/run", seed=2)]
    assert load_members(runs).names == tuple(map(str, runs))


@pytest.mark.parametrize("name", ["fusion", "sum", "oracle"])
def test_a_run_named_as_a_row_of_the_table_is_told_apart_from_it(make_run, name):
    runs = [make_run(name, seed=1), make_run("second", seed=2)]
    assert load_members(runs).names == (str(runs[0]), "second")


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"name": "cifar10"}, "second has data cifar10, first has eurosat"),
        ({"version": "1.0.0"}, "second has version 1.0.0, first has 2.0.0"),
        ({"split": "spatial"}, "second has split spatial, first has random, seed 0"),
    ],
)
def test_other_data_is_refused(pair, dataset, words):
    config = read_json(pair[1] / "config.json")
    change(pair[1], dataset=config["dataset"] | dataset)
    with pytest.raises(UsageError, match=words):
        load_members(pair)


def test_other_classes_are_refused(pair):
    rewrite(pair[1], class_names=np.array(["Forest", "Highway", "River"]))
    with pytest.raises(UsageError, match="classes 1 Highway, 2 River, first has 1 River, 2 High"):
        load_members(pair)


def test_other_test_pictures_are_refused_with_examples(pair):
    with np.load(pair[1] / "predictions.npz") as saved:
        ids = saved["test_ids"].copy()
    ids[0] = "Lake_9.jpg"
    rewrite(pair[1], test_ids=ids)
    with pytest.raises(UsageError, match=r"second was judged on other pictures.* Lake_9\.jpg"):
        load_members(pair)
    keep = slice(1, None)
    with np.load(pair[1] / "predictions.npz") as saved:
        fewer = {key: saved[key][keep] for key in saved if key.startswith("test_")}
    rewrite(pair[1], **fewer)
    with pytest.raises(UsageError, match="first was judged on other pictures"):
        load_members(pair)


def test_another_truth_is_refused(pair):
    with np.load(pair[1] / "predictions.npz") as saved:
        labels = (saved["test_labels"] + 1) % 3
    rewrite(pair[1], test_labels=labels)
    with pytest.raises(UsageError, match="second and first disagree on the true class of"):
        load_members(pair)


def test_without_common_validation_pictures_only_test_is_left(pair):
    with np.load(pair[1] / "predictions.npz") as saved:
        ids = np.char.add("other_", saved["val_ids"])
    rewrite(pair[1], val_ids=ids)
    assert list(load_members(pair).splits) == ["test"]


def test_incomplete_missing_and_damaged_runs_are_named(pair, tmp_path):
    with pytest.raises(UsageError, match="nowhere is no complete run"):
        load_members([pair[0], tmp_path / "nowhere"])
    stopped = pair[1].rename(tmp_path / "second.incomplete")
    with pytest.raises(UsageError, match=r"second\.incomplete is no complete run"):
        load_members([pair[0], stopped])
    pair[1] = stopped.rename(tmp_path / "second")
    predictions = pair[1] / "predictions.npz"
    predictions.write_bytes(predictions.read_bytes()[:-40])
    with pytest.raises(RunError, match=r"predictions\.npz can't be read"):
        load_members(pair)
    predictions.unlink()
    with pytest.raises(RunError, match=r"predictions\.npz is missing"):
        load_members(pair)


def test_the_newest_pretrained_pair_is_found(make_run, tmp_path):
    with pytest.raises(
        UsageError, match="no complete run of a pretrained MobileNetV2 or AlexNet on EuroSAT: run"
    ):
        find_pretrained(tmp_path)
    old = make_run("old", model="mobilenetv2", weights="imagenet")
    new = make_run("new", model="mobilenetv2", weights="some.weights.h5", seed=1)
    make_run("scratch", model="alexnet", weights="none", seed=2)
    make_run("other", model="alexnet", weights="imagenet", data="sample", seed=3)
    change(old, ended="2025-01-01")
    with pytest.raises(
        UsageError, match="pretrained AlexNet on EuroSAT: run python train_eurosat.py"
    ):
        find_pretrained(tmp_path)
    alexnet = make_run("alex", model="alexnet-bvlc", weights="x.npz", seed=4)
    assert find_pretrained(tmp_path) == [new, alexnet]
