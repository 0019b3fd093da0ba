import csv
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tests.conftest import change_arrays, change_json
from tfmodels.errors import UsageError
from tfmodels.fusion.combine import fuse, fusion_path, run_fusion, table_of_methods
from tfmodels.fusion.comparison import compare
from tfmodels.fusion.members import Members, load_members
from tfmodels.fusion.methods import LEARNING
from tfmodels.fusion.rules import METHODS, fit_temperature, fuse_held_out, fuse_sum
from tfmodels.runs.contents import open_run
from tfmodels.runs.directory import RESULTS, STATE, is_complete
from tfmodels.runs.lock import MARKER
from tfmodels.runs.manifest import write_manifest
from tfmodels.runs.predictions import save_images
from tfmodels.safe_files import read_json

MakeRun = Callable[..., Path]


@pytest.fixture
def members(make_run: MakeRun) -> Members:
    return load_members([make_run("first", seed=1), make_run("second", 2.4, 2, order_seed=5)])


def test_a_fusion_is_a_run_like_any_other(
    members: Members, make_run: MakeRun, tmp_path: Path, tf_test: Any
) -> None:
    path = fusion_path(tmp_path, members, "sum", False)
    text = run_fusion(members, "sum", False, path)
    assert text.startswith(f"run 1: {members.runs[0].path}\nrun 2: {members.runs[1].path}\n\n")
    assert "points (95 % CI" in text
    assert is_complete(path)
    assert all((path / file).is_file() for file in RESULTS)
    fused = open_run(path)
    assert "git_commit" in fused.config
    for member, run in zip(fused.config["members"], members.runs, strict=True):
        content = (run.path / "predictions.npz").read_bytes()
        assert member["sha256"] == hashlib.sha256(content).hexdigest()
    splits = fused.predictions()
    _, labels, probabilities = members.splits["test"]
    tf_test.assertAllClose(splits["test"].probabilities, probabilities.mean(axis=0), atol=1e-6)
    metrics = read_json(path / "metrics.json", dict[str, Any])["test"]
    expected = balanced_accuracy_score(labels, probabilities.sum(axis=0).argmax(axis=1))
    assert metrics["mean_class_accuracy"] == pytest.approx(expected)
    again = load_members([path, make_run("third", seed=3)])  # fusions can be fused
    assert again.splits["test"][2].shape == (2, 150, 3)


def test_the_images_of_its_mistakes_come_from_its_members(members: Members, tmp_path: Path) -> None:
    run_fusion(members, "sum", False, tmp_path / "fused")
    fused = open_run(tmp_path / "fused")
    test = fused.predictions()["test"]
    wrong = test.ids[test.probabilities.argmax(axis=1) != test.labels]
    images = fused.images("mistakes.npz")
    assert set(images) == set(wrong.tolist())
    sources = [run.images("mistakes.npz") for run in members.runs]
    for name, image in images.items():
        assert any((image == source[name]).all() for source in sources if name in source)


def test_members_may_have_read_the_images_in_several_sizes(
    members: Members, tmp_path: Path
) -> None:
    second = members.runs[1]
    ids, images = zip(*second.images("mistakes.npz").items(), strict=True)
    enlarged = [image.repeat(2, axis=0).repeat(3, axis=1) for image in images]
    save_images(second.path / "mistakes.npz", np.array(ids), enlarged)
    shape = (8, 12, 3)
    change_json(
        second.path / "config.json", dataset={**second.config["dataset"], "image_shape": shape}
    )
    write_manifest(second.path)
    paths = [run.path for run in members.runs]
    for number, runs in enumerate((paths, paths[::-1])):
        run_fusion(load_members(runs), "sum", False, tmp_path / str(number))
        fused = open_run(tmp_path / str(number))
        found = fused.images("mistakes.npz")
        assert {image.shape for image in found.values()} == {(4, 4, 3) if number == 0 else shape}
        for name in found.keys() & set(ids):
            assert (found[name] == images[ids.index(name)][0, 0]).all()


@pytest.mark.parametrize(("method", "calibrate"), itertools.product(METHODS, (False, True)))
def test_what_learns_learns_on_validation_alone(
    members: Members, method: str, calibrate: bool, tf_test: Any
) -> None:
    fused, learned = fuse(members, method, calibrate)
    labels = members.splits["test"][1]
    labels[:] = (labels + 1) % 3
    again, relearned = fuse(members, method, calibrate)
    assert learned == relearned
    for split in ("val", "test"):
        tf_test.assertAllEqual(fused[split], again[split])


def test_validation_images_are_fused_by_what_was_learned_from_others(
    members: Members, tf_test: Any
) -> None:
    _, labels, probabilities = members.splits["val"]
    held_out = fuse_held_out("stacking", probabilities, labels)
    tf_test.assertAllClose(fuse(members, "stacking")[0]["val"], held_out, atol=1e-6)
    rule, _ = METHODS["stacking"](probabilities, labels)
    assert abs(rule(probabilities) - held_out).max() > 1e-3
    _, learned = fuse(members, "stacking", calibrate=True)
    assert learned["temperature"] == fit_temperature(held_out, labels)


def leave_few_rivers(members: Members) -> Members:
    """Leave four validation images of the class River."""
    ids, labels, _ = members.splits["val"]
    kept = np.concatenate([ids[labels != 1], ids[labels == 1][:4]])
    for run in members.runs:
        val = run.predictions()["val"]
        rows = np.isin(val.ids, kept)
        fewer = {f"val_{name}": values[rows] for name, values in vars(val).items()}
        change_arrays(run.path / "predictions.npz", **fewer)
        dataset = run.config["dataset"]
        splits = dataset["splits"] | {"val": len(kept)}
        change_json(run.path / "config.json", dataset={**dataset, "splits": splits})
        write_manifest(run.path)
    return load_members([run.path for run in members.runs])


def test_too_few_validation_images_of_a_class_are_refused(members: Members, tmp_path: Path) -> None:
    members = leave_few_rivers(members)
    few = "learns from .* class River has 4 validation images; at least 5 are needed"
    with pytest.raises(UsageError, match=f"`method=stacking` {few}"):
        fuse(members, "stacking")
    with pytest.raises(UsageError, match=f"`all_methods` {few}"):
        table_of_methods(members, False, tmp_path)
    run_fusion(members, "sum", False, tmp_path / "fused")  # its hint needs no learning


def test_a_fusion_never_replaces_a_member(members: Members) -> None:
    with pytest.raises(UsageError, match="first is one of the runs to fuse: choose another `name`"):
        run_fusion(members, "sum", False, members.runs[0].path, overwrite=True)
    assert (members.runs[0].path / "history.csv").exists()


def test_a_fusion_never_replaces_an_interrupted_training(members: Members, tmp_path: Path) -> None:
    state = tmp_path / "fused.incomplete" / STATE
    state.parent.mkdir()
    for name in (STATE, MARKER):
        (state.parent / name).touch()
    with pytest.raises(UsageError, match="fused.incomplete holds a training that was interrupted"):
        run_fusion(members, "sum", False, tmp_path / "fused")
    assert state.exists()
    run_fusion(members, "sum", False, tmp_path / "fused", overwrite=True)
    assert not (tmp_path / "fused" / STATE).exists()


def test_its_command_names_members_and_method(members: Members, tmp_path: Path) -> None:
    run_fusion(members, "vote", True, tmp_path / "fused")
    first, second = (str(run.path) for run in members.runs)
    assert open_run(tmp_path / "fused").config["command"] == [
        *("fuse.py", first, second, "--method", "vote", "--calibrate")
    ]


def test_calibration_changes_confidence_but_no_class(members: Members, tf_test: Any) -> None:
    plain, _ = fuse(members, "sum")
    calibrated, learned = fuse(members, "sum", calibrate=True)
    assert learned["temperature"] != pytest.approx(1, abs=0.01)
    for split in ("val", "test"):
        tf_test.assertAllEqual(plain[split].argmax(axis=1), calibrated[split].argmax(axis=1))
        assert abs(plain[split] - calibrated[split]).max() > 0.01


@pytest.mark.parametrize(("method", "calibrate"), [("weighted", False), ("sum", True)])
def test_without_common_validation_nothing_can_be_learned(
    members: Members, tmp_path: Path, method: str, calibrate: bool
) -> None:
    del members.splits["val"]
    what = "`calibrate`" if calibrate else "`method=weighted`"
    differ = "learns from validation images, but the runs use different validation splits"
    advice = "leave `calibrate` out" if calibrate else "use `method=sum`, `method=geometric`"
    with pytest.raises(UsageError, match=f"{what} {differ}: {advice}"):
        run_fusion(members, method, calibrate, tmp_path / "fused")
    assert not (tmp_path / "fused").exists()
    with pytest.raises(UsageError, match=f"`all_methods` {differ}"):
        table_of_methods(members, False, tmp_path)
    text = run_fusion(members, "sum", False, tmp_path / "fused")
    assert list(read_json(tmp_path / "fused" / "metrics.json", dict[str, Any])) == ["test"]
    assert "hint" not in text


def test_a_better_method_on_validation_is_hinted_at(members: Members, tmp_path: Path) -> None:
    _, labels, probabilities = members.splits["val"]
    # Of the true class and the two others; only products of these rank the true one first.
    for member, values in enumerate(([0.2, 0.799, 0.001], [0.25, 0.01, 0.74])):
        probabilities[member] = [np.roll(values, label) for label in labels]
    text = run_fusion(members, "sum", False, tmp_path / "fused")
    assert text.endswith(
        "\nhint: on validation `method=geometric` reaches 100.00 against 0.00 % mean class accuracy"
    )
    assert "hint" not in run_fusion(members, "geometric", False, tmp_path / "best")


def test_the_path_names_the_members_whatever_their_order(members: Members, tmp_path: Path) -> None:
    path = fusion_path(tmp_path, members, "sum", True)
    assert path.name.startswith("eurosat_fusion_sum_")
    assert path.name.endswith("_calibrated")
    reordered = load_members([run.path for run in members.runs[::-1]])
    assert fusion_path(tmp_path, reordered, "sum", True) == path


def test_a_table_of_all_methods(members: Members, tmp_path: Path) -> None:
    text = table_of_methods(members, False, tmp_path)
    path = fusion_path(tmp_path, members, "methods", False)
    assert text.startswith(f"run 1: {members.runs[0].path}\nrun 2: {members.runs[1].path}\n\n")
    assert text.endswith(f"\nall metrics, and what was learned: {path}.md, .csv")
    markdown = path.with_name(path.name + ".md").read_text()
    assert markdown.startswith("run 1: first  \nrun 2: second  \n\n| method ")
    assert "| run 2 " in markdown.splitlines()[-3]  # of a method: what it differs from
    with path.with_name(path.name + ".csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["first", "second", *METHODS, "oracle"]
    _, labels, probabilities = members.splits["val"]
    on_validation = balanced_accuracy_score(labels, fuse_sum(probabilities).argmax(axis=1))
    assert rows["sum"]["validation (5-fold)"] == f"{100 * on_validation:.2f}"
    assert rows["weighted"]["learned"].startswith("weights 0.")
    for method in METHODS:
        comparison = compare(members, {method: fuse(members, method)[0]["test"]})
        accuracy = f"{100 * comparison['metrics'][method]['mean_class_accuracy']:.2f}"
        assert rows[method]["mean class accuracy"] == accuracy
        assert rows[method]["difference from"] == comparison["rival"] == "second"
        points = comparison["differences"][method]["points"]
        assert points.startswith(f"{rows[method]['difference']} points (95 % CI ")
        line = next(line for line in text.splitlines() if line.startswith(method))
        assert line.split()[1:3] == [rows[method]["validation (5-fold)"], accuracy]


@pytest.mark.parametrize("perfect", [False, True])
def test_what_the_terminal_shows_fits_80_columns(
    make_run: MakeRun, tmp_path: Path, perfect: bool
) -> None:
    runs = [
        make_run("x" * 59 + str(i), 50 if perfect else 1, seed=i, order_seed=i) for i in range(11)
    ]
    members = load_members(runs)
    for text in (
        run_fusion(members, "weighted", True, tmp_path / "fused"),
        table_of_methods(members, True, tmp_path),
    ):
        lines = text.split("\n\n")[1].splitlines()
        assert lines[-1].startswith("oracle")
        assert max(map(len, lines)) <= 80


def test_the_learning_methods_are_those_that_need_validation(members: Members) -> None:
    _, labels, probabilities = members.splits["val"]
    learned = {name for name, fit in METHODS.items() if fit(probabilities, labels)[1]}
    assert learned == set(LEARNING)
