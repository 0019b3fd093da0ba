"""Whatever stands in the files of a run, reading it ends well or with an error that names it."""

import contextlib
import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import change_arrays, change_json
from tfmodels.errors import RunError, UsageError
from tfmodels.fusion.combine import run_fusion
from tfmodels.fusion.comparison import compare
from tfmodels.fusion.members import load_members
from tfmodels.report import plots
from tfmodels.report.page import write_report
from tfmodels.report.tables import summary
from tfmodels.runs import contents
from tfmodels.runs.contents import open_run, open_unfinished
from tfmodels.runs.manifest import MANIFEST, read_manifest, write_manifest
from tfmodels.safe_files import checksum, read_json, write_json

MakeRun = Callable[..., Path]
READ = ("config.json", "predictions.npz", "mistakes.npz", "history.csv")
WRONG: tuple[Any, ...] = (None, -1, 10**25, "\x1b[31m", [[]], {})
KEYS = {key for kind in vars(contents).values() for key in getattr(kind, "__annotations__", {})}


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    return make_run("run", skill=1.0, seed=1)


@pytest.fixture
def other(make_run: MakeRun) -> Path:
    return make_run("other", seed=2)


@pytest.fixture
def fusion(run: Path, other: Path, tmp_path: Path) -> Path:
    run_fusion(load_members([run, other]), "weighted", False, tmp_path / "fusion")
    return tmp_path / "fusion"


@pytest.fixture(autouse=True)
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures out of reports, which take most of their time; but read what they show."""

    def read(draw: object, *arguments: Any) -> str:
        return str(plots._read_history(arguments[0])) if draw is plots.curve else ""

    monkeypatch.setattr(plots, "svg", read)


def read_all(run: Path, page: Path) -> None:
    """Read a run in all ways but `verify`, which tests/test_verify.py tests."""
    summary(run)
    write_report([open_run(run)], page)


def changed(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield what stands in a JSON file, with each of its values replaced or left out in turn."""
    for wrong in WRONG:
        yield path, wrong
    if isinstance(content, list) and content:
        yield path, content[1:]
        children: list[Any] = [0]
    else:
        named = [key for key in content if key in KEYS] if isinstance(content, dict) else []
        children = named or [*content][:1] if isinstance(content, dict) else []
    for child in children:
        if isinstance(content, dict):
            yield (*path, child), {key: content[key] for key in content if key != child}
        for where, replaced in changed(content[child], (*path, child)):
            whole = copy.copy(content)
            whole[child] = replaced
            yield where, whole


def test_a_run_gives_what_was_saved(run: Path, fusion: Path) -> None:
    opened = open_run(run)
    assert opened.name == "run"
    assert opened.config["dataset"]["class_names"] == ["Forest", "River", "Highway"]
    splits = opened.predictions()
    with np.load(run / "predictions.npz") as saved:
        for name in ("val", "test"):
            np.testing.assert_array_equal(splits[name].ids, saved[f"{name}_ids"])
    assert {image.shape for image in opened.images("mistakes.npz").values()} == {(4, 4, 3)}
    assert opened.has("history.csv")
    assert not opened.has("fusion.json")
    assert open_run(fusion).comparison()["metrics"].keys() == {"run", "other", "fusion", "oracle"}


def test_what_is_not_a_complete_run_is_refused_with_a_hint(run: Path, tmp_path: Path) -> None:
    begun = run.rename(tmp_path / "run.incomplete")
    with pytest.raises(UsageError, match="stopped early, and the command that began it continues"):
        open_run(begun)
    assert open_unfinished(begun).name == "run"
    old = begun.rename(run)
    (old / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"it has no manifest\.json; if it is of an earlier ver"):
        open_run(old)
    for nothing in (tmp_path, tmp_path / "nowhere", old / "config.json"):
        with pytest.raises(UsageError, match="is not a complete run directory: name one, such as"):
            open_run(nothing)
        with pytest.raises(UsageError, match="is not a run directory: name one, such as"):
            open_unfinished(nothing)


def damages(path: Path, other: Path) -> Iterator[str]:
    """Damage a file in all ways, one after the other, and at last bring it back."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    aside = path.parent.parent / "aside"
    aside.write_bytes(whole)
    kinds: dict[str, Callable[[], object]] = {
        "truncated": lambda: path.write_bytes(whole[:-7]),
        "flipped": lambda: path.write_bytes(flipped),
        "emptied": lambda: path.write_bytes(b""),
        "of another run": lambda: shutil.copyfile(other, path),
        "a link": lambda: path.symlink_to(aside),
        "a dangling link": lambda: path.symlink_to(path.parent / "nowhere"),
        "a pipe": lambda: os.mkfifo(path),
        "a folder": path.mkdir,
        "missing": lambda: None,
    }
    for kind, damage in kinds.items():
        path.unlink()
        damage()
        yield kind
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)


@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_is_named(make_run: MakeRun, tmp_path: Path, name: str) -> None:
    run, other = make_run("run", skill=1.0, seed=1), make_run("other", seed=2, lr=0.5)
    with (other / "history.csv").open("a") as history:
        history.write("3,0.1,1,.4,1.1,.3,5\n")
    for _ in damages(run / name, other / name):
        with pytest.raises(RunError) as caught:
            read_all(run, tmp_path / "page.html")
        assert str(run / name) in str(caught.value)
    read_all(run, tmp_path / "page.html")


def test_a_damaged_fusion_json_is_named(fusion: Path, tmp_path: Path) -> None:
    for _ in damages(fusion / "fusion.json", fusion / "config.json"):
        with pytest.raises(RunError) as caught:
            read_all(fusion, tmp_path / "page.html")
        assert str(fusion / "fusion.json") in str(caught.value)
    read_all(fusion, tmp_path / "page.html")


def error_of(run: Path) -> str:
    """Return the error that the report of a run ends with; empty if there is none."""
    try:
        write_report([open_run(run)], run.parent / "page.html")
    except RunError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["config.json", "fusion.json"])
def test_json_of_another_kind_is_named_or_harmless(run: Path, fusion: Path, name: str) -> None:
    for damaged in (run, fusion) if name == "config.json" else (fusion,):
        whole = read_json(damaged / name, dict[str, Any])
        harmless = set()
        for where, content in changed(whole):
            (damaged / name).write_text(json.dumps(content))
            files = {**read_manifest(damaged), name: checksum(damaged / name)}
            (damaged / MANIFEST).write_text(json.dumps({"files": files}))
            message = error_of(damaged)
            assert not message or str(damaged) in message
            if not message:
                harmless.add(where)
        assert () not in harmless
        assert len(harmless) > 3  # names, times and settings that nothing depends on
        write_json(damaged / name, whole)


@pytest.mark.parametrize(
    "content",
    ["", "\0", "[" * 10**5, "{" * 10**5, "[1e999]", '{"a": "\ud800"}', "{}" + " " * 2**26],
)
def test_what_is_no_json_is_named(run: Path, content: str) -> None:
    (run / "config.json").write_text(content, errors="surrogatepass")
    write_manifest(run)
    with pytest.raises(RunError, match=r"config\.json can't be read"):
        open_run(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_ids": np.array("a")}, r"predictions\.npz can't be used: in test the ids have type"),
        ({"class_names": np.array([["Forest", "River", "Highway"]])}, "the class names have type"),
        (
            {"class_names": np.array(["Forest", "River", "Lake"])},
            "has other classes than the run's",
        ),
        ({"more_ids": np.array(["a"])}, "lacks more_labels, more_probabilities"),
        (
            {
                "more_ids": np.array(["a"]),
                "more_labels": np.array([0]),
                "more_probabilities": np.eye(3, dtype="float32")[:1],
            },
            "holds 1 images in more, and the run's config.json None",
        ),
        (
            {"padding": np.zeros(10**8, "uint8")},
            r"claims to hold 100,\d+,\d+ bytes, and \d+,\d+,\d+",
        ),
    ],
)
def test_predictions_that_cannot_be_of_the_run_are_refused(
    run: Path, other: Path, changes: dict[str, np.ndarray], message: str
) -> None:
    change_arrays(run / "predictions.npz", **changes)
    write_manifest(run)
    for read in (lambda: summary(run), lambda: load_members([run, other])):
        with pytest.raises(RunError, match=message):
            read()


def test_predictions_swapped_between_runs_are_refused(run: Path, other: Path) -> None:
    first, second = run / "predictions.npz", other / "predictions.npz"
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    for swapped in (run, other):
        with pytest.raises(RunError, match=r"predictions\.npz doesn't match the manifest"):
            open_run(swapped).predictions()
    with pytest.raises(RunError, match=r"predictions\.npz doesn't match the manifest"):
        load_members([run, other])


def test_images_that_cannot_be_of_the_run_are_refused(run: Path) -> None:
    with np.load(run / "mistakes.npz") as saved:
        n = len(saved["ids"])
    wrong: dict[str, np.ndarray] = {
        "of another shape": np.zeros((n, 4, 5, 3), np.uint8),
        "can't be read as images": np.zeros((n, 4, 4), np.uint8),
        r"claims to hold [\d,]+ bytes": np.zeros((n, 400, 400, 3), np.uint8),
    }
    for message, images in wrong.items():
        change_arrays(run / "mistakes.npz", images=images)
        write_manifest(run)
        with pytest.raises(RunError, match=rf"mistakes\.npz .*{message}"):
            open_run(run).images("mistakes.npz")


@pytest.mark.parametrize("forged", [{}, [], {"test": 5}, {"test": {"mean_class_accuracy": 2.0}}])
def test_a_forged_metrics_json_changes_nothing(run: Path, other: Path, forged: object) -> None:
    page = run.parent / "page.html"

    def figures() -> list[object]:
        members = load_members([run, other])
        comparison = compare(members, {"fusion": members.splits["test"][2].mean(axis=0)})
        write_report([open_run(run)], page)
        return [summary(run), comparison, page.read_text()]

    before = figures()
    write_json(run / "metrics.json", forged)
    write_manifest(run)
    assert figures() == before


def test_a_history_of_another_kind_is_named_or_harmless(run: Path) -> None:
    header = "epoch,lr,loss,accuracy,val_loss,val_accuracy\n"
    wrong = (
        "",
        header,
        f"{header}1,1\n",
        f"{header}a,b,c,d,e,f\n",
        "\0",
        f"{header}{'1' * 10**6}\n",
    )
    for content in wrong:
        (run / "history.csv").write_text(content)
        write_manifest(run)
        with pytest.raises(RunError, match=r"history\.csv can't be read as a history"):
            read_all(run, run.parent / "page.html")
    for number in ("nan", "inf", "-1e308", "1e308", "0"):
        (run / "history.csv").write_text(f"{header}{','.join(6 * [number])}\n" * 2)
        write_manifest(run)
        with contextlib.suppress(RunError):
            read_all(run, run.parent / "page.html")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_shape": [4, 4, 0]}, r"images have shape \(4, 4, 0\)"),
        ({"splits": {"val": 120}}, "the numbers of images are {'val': 120}"),
        ({"splits": {"test": -1}}, "the numbers of images are {'test': -1}"),
        ({"class_names": [str(i) for i in range(10_001)]}, "there are 10,001 classes"),
        ({"class_names": ["a", "b" * 1001]}, "the name of a class has more than 1000 letters"),
    ],
)
def test_data_that_cannot_be_are_refused(
    run: Path, other: Path, changes: dict[str, Any], message: str
) -> None:
    dataset = open_run(other).config["dataset"]
    change_json(other / "config.json", dataset={**dataset, **changes})
    write_manifest(other)
    with pytest.raises(RunError, match=rf"config\.json can't be used: .*{message}"):
        load_members([run, other])


def test_a_bomb_is_refused_though_config_json_claims_as_much(run: Path) -> None:
    dataset = open_run(run).config["dataset"]
    splits = dataset["splits"] | {"test": 10**9}
    change_json(run / "config.json", dataset={**dataset, "splits": splits})
    change_arrays(run / "predictions.npz", padding=np.zeros(7 * 10**7, "uint8"))
    with np.load(run / "predictions.npz") as saved:
        np.savez_compressed(run / "predictions.npz", **saved)
    (run / "mistakes.npz").write_bytes((run / "predictions.npz").read_bytes())
    write_manifest(run)
    opened = open_run(run)
    for read in (opened.predictions, lambda: opened.images("mistakes.npz")):
        with pytest.raises(
            RunError, match=r"claims to hold 70,\d+,\d+ bytes, and 67,108,864 at most"
        ):
            read()
