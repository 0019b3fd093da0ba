from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import change_arrays, change_json
from tfmodels.errors import RunError, UsageError
from tfmodels.fusion.combine import run_fusion
from tfmodels.fusion.members import find_pretrained, load_members
from tfmodels.runs.contents import open_run
from tfmodels.runs.manifest import write_manifest

MakeRun = Callable[..., Path]


def change(run: Path, **changes: Any) -> None:
    change_json(run / "config.json", **changes)
    write_manifest(run)


def rewrite(run: Path, **arrays: np.ndarray) -> None:
    change_arrays(run / "predictions.npz", **arrays)
    write_manifest(run)


@pytest.fixture
def pair(make_run: MakeRun) -> list[Path]:
    return [make_run("first", seed=1), make_run("second", seed=2, order_seed=5)]


def test_members_are_brought_into_one_order_by_id(pair: list[Path], tf_test: Any) -> None:
    members = load_members(pair)
    assert members.names == ("first", "second")
    ids, labels, probabilities = members.splits["test"]
    with np.load(pair[1] / "predictions.npz") as second:
        assert (second["test_ids"] != ids).any()
        for row in (0, 7, 100):
            position = second["test_ids"].tolist().index(ids[row])
            tf_test.assertAllEqual(probabilities[1, row], second["test_probabilities"][position])
            assert labels[row] == second["test_labels"][position]


def test_permuted_members_give_the_same_array(make_run: MakeRun, tf_test: Any) -> None:
    first, second = make_run("a", seed=1), make_run("b", seed=2)
    other, shuffled = make_run("c", seed=3), make_run("d", seed=2, order_seed=9)
    straight = load_members([first, second, other]).splits["test"]
    reordered = load_members([first, shuffled, other]).splits["test"]
    for a, b in zip(straight, reordered, strict=True):
        tf_test.assertAllEqual(a, b)


def test_one_run_or_the_same_twice_is_refused(pair: list[Path], make_run: MakeRun) -> None:
    with pytest.raises(UsageError, match="first alone can't be fused"):
        load_members(pair[:1])
    with pytest.raises(UsageError, match="are the same run"):
        load_members([pair[0], pair[1], pair[0]])
    copy = make_run("copy", seed=1)
    with pytest.raises(UsageError, match="copy and .*first are the same run, or have the same"):
        load_members([pair[0], copy])


def test_runs_of_the_same_name_are_named_by_path(make_run: MakeRun) -> None:
    runs = [make_run("x/run", seed=1), make_run("y/run", seed=2)]
    assert load_members(runs).names == tuple(map(str, runs))


@pytest.mark.parametrize("name", ["fusion", "sum", "oracle"])
def test_a_run_named_as_a_row_of_the_table_is_named_by_path(make_run: MakeRun, name: str) -> None:
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
def test_other_data_is_refused(pair: list[Path], dataset: dict[str, str], words: str) -> None:
    change(pair[1], dataset=open_run(pair[1]).config["dataset"] | dataset)
    with pytest.raises(UsageError, match=words):
        load_members(pair)


def test_other_classes_are_refused(pair: list[Path]) -> None:
    names = ["Forest", "Highway", "River"]
    rewrite(pair[1], class_names=np.array(names))
    with pytest.raises(RunError, match=r"predictions\.npz has other classes than the run's config"):
        load_members(pair)
    change(pair[1], dataset={**open_run(pair[1]).config["dataset"], "class_names": names})
    with pytest.raises(UsageError, match="classes 1 Highway, 2 River, first has 1 River, 2 High"):
        load_members(pair)


def test_other_test_images_are_refused_with_examples(pair: list[Path]) -> None:
    with np.load(pair[1] / "predictions.npz") as saved:
        ids = saved["test_ids"].copy()
    ids[0] = "Lake_9.jpg"
    rewrite(pair[1], test_ids=ids)
    with pytest.raises(UsageError, match=r"second was evaluated on other images.* Lake_9\.jpg"):
        load_members(pair)
    with np.load(pair[1] / "predictions.npz") as saved:
        fewer = {key: saved[key][1:] for key in saved if key.startswith("test_")}
    rewrite(pair[1], **fewer)
    dataset = open_run(pair[1]).config["dataset"]
    change(pair[1], dataset={**dataset, "splits": dataset["splits"] | {"test": 149}})
    with pytest.raises(UsageError, match="first was evaluated on other images"):
        load_members(pair)


def test_another_truth_is_refused(pair: list[Path]) -> None:
    with np.load(pair[1] / "predictions.npz") as saved:
        labels = (saved["test_labels"] + 1) % 3
    rewrite(pair[1], test_labels=labels)
    with pytest.raises(UsageError, match="second and first disagree on the true class of"):
        load_members(pair)


def test_without_common_validation_images_only_test_is_left(pair: list[Path]) -> None:
    with np.load(pair[1] / "predictions.npz") as saved:
        ids = np.char.add("other_", saved["val_ids"])
    rewrite(pair[1], val_ids=ids)
    assert list(load_members(pair).splits) == ["test"]


def test_incomplete_missing_and_damaged_runs_are_named(pair: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is not a complete run"):
        load_members([pair[0], tmp_path / "nowhere"])
    stopped = pair[1].rename(tmp_path / "second.incomplete")
    with pytest.raises(UsageError, match=r"second\.incomplete is not a complete run"):
        load_members([pair[0], stopped])
    pair[1] = stopped.rename(tmp_path / "second")
    predictions = pair[1] / "predictions.npz"
    predictions.write_bytes(predictions.read_bytes()[:-40])
    with pytest.raises(RunError, match=r"predictions\.npz doesn't match the manifest"):
        load_members(pair)
    predictions.unlink()
    with pytest.raises(RunError, match=r"predictions\.npz is missing"):
        load_members(pair)


def test_the_newest_pretrained_pair_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="no complete run of a pretrained MobileNet or AlexNet on EuroSAT: train"
    ):
        find_pretrained(tmp_path)
    old = make_run("old", model="mobilenetv2", weights="imagenet")
    new = make_run("new", model="mobilenetv2", weights="some.weights.h5", seed=1)
    make_run("scratch", model="alexnet", weights="none", seed=2)
    make_run("other", model="alexnet", weights="imagenet", data="sample", seed=3)
    change(old, ended="2025-01-01")
    with pytest.raises(
        UsageError, match="pretrained AlexNet on EuroSAT: train one with `model=alexnet`"
    ):
        find_pretrained(tmp_path)
    alexnet = make_run("alex", model="alexnet-bvlc", weights="x.npz", seed=4)
    assert find_pretrained(tmp_path) == [new, alexnet]


def test_the_message_says_how_to_train_them(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("mobile", model="mobilenetv3-small", weights="imagenet")  # of the same family
    advice = "train one with `model=alexnet` and `weights=imagenet`, or name the runs to fuse"
    with pytest.raises(UsageError, match=advice):
        find_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("manifest.json", "{"),
        ("manifest.json", '{"files": {}}'),
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", '{"ended": "2027", "settings": {"model": "alexnet"}}'),
    ],
)
def test_a_damaged_run_among_others_is_skipped_with_a_warning(
    make_run: MakeRun, tmp_path: Path, file: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [
        make_run("a", model="mobilenetv2", weights="imagenet"),
        make_run("b", model="alexnet", weights="imagenet", seed=1),
    ]
    damaged = make_run("damaged", seed=2)
    (damaged / file).write_text(content)
    if file == "config.json":
        write_manifest(damaged)
    assert find_pretrained(tmp_path) == good
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {damaged} is skipped: {damaged / file} ")
    assert warning.count("\n") == 1


def test_a_fusion_with_its_own_member_is_fused_with_a_warning(
    pair: list[Path], make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fused = tmp_path / "fused"
    run_fusion(load_members(pair), "sum", False, fused)
    other = make_run("other", seed=3)
    load_members([fused, other])
    assert capsys.readouterr().err == ""
    members = load_members([fused, other, pair[1]])
    assert members.splits["test"][2].shape == (3, 150, 3)
    assert capsys.readouterr().err == (
        "warning: fused is itself a fusion of second, which therefore counts twice\n"
    )
