import csv
import json
from collections import Counter
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
from PIL import Image

from tests import toys
from tests.conftest import change_json
from tfmodels import cli
from tfmodels.config import Config
from tfmodels.data.views import average_views
from tfmodels.errors import RunError, UsageError
from tfmodels.prediction import predict, table
from tfmodels.prediction.images import find_images
from tfmodels.prediction.judge import known_labels
from tfmodels.prediction.networks import predictor
from tfmodels.runs.contents import open_run
from tfmodels.runs.manifest import write_manifest

NAMES = ("red", "green", "blue")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """150 images of the toys' size, in two folders, and files that aren't images or are damaged."""
    images, _ = toys.arrays(150, 99)
    for i, image in enumerate(images):
        place = tmp_path / "images" / ("a" if i < 70 else "b")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    (tmp_path / "images" / ".hidden.png").write_text("")
    return tmp_path / "images"


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def probabilities(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row[name]) for name in NAMES] for row in rows])


def expected(path: Path) -> np.ndarray:
    model = keras.saving.load_model(path / "model.keras", compile=False)
    images = toys.arrays(150, 99)[0]
    return average_views(lambda view: model.predict(view, verbose=0), images, "mirror")


def test_the_table_has_what_the_network_gives(
    toy_runs: list[Path], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predictions.csv"
    assert cli.main(["predict", str(toy_runs[0]), str(folder), "--out", str(out)]) == 0
    *counts, last = capsys.readouterr().out.splitlines()
    assert last == f"150 images are classified in {out}"
    rows = read(out)
    found = Counter(row["class"] for row in rows)
    assert {line.split()[0]: int(line.split()[1]) for line in counts[2:]} == found
    assert [Path(row["file"]).name for row in rows] == [f"{i:03}.png" for i in range(150)]
    np.testing.assert_allclose(probabilities(rows), expected(toy_runs[0]), atol=1e-5)
    for row in rows:
        values = {name: float(row[name]) for name in NAMES}
        assert row["class"] == max(values, key=values.__getitem__)
        assert float(row["confidence"]) == max(values.values())
    assert not out.with_name("predictions.csv.part").exists()


def test_json_lines_hold_the_same(toy_runs: list[Path], folder: Path, tmp_path: Path) -> None:
    opened = [open_run(toy_runs[0])]
    for ending in (".csv", ".jsonl"):
        predict.predict_files(opened, [str(folder / "a")], tmp_path / f"x{ending}")
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    rows = read(tmp_path / "x.csv")
    assert [line["file"] for line in lines] == [row["file"] for row in rows]
    found = [[line["probabilities"][name] for name in NAMES] for line in lines]
    assert found == probabilities(rows).tolist()


def test_several_runs_predict_by_their_mean_and_a_fusion_by_its_rule(
    toy_runs: list[Path], folder: Path, tmp_path: Path
) -> None:
    members = np.stack([expected(path) for path in toy_runs[:2]])
    opened = [open_run(path) for path in toy_runs]
    predict.predict_files(opened[:2], [str(folder)], tmp_path / "mean.csv")
    mean = members.mean(axis=0)
    np.testing.assert_allclose(probabilities(read(tmp_path / "mean.csv")), mean, atol=1e-5)

    predict.predict_files(opened[2:], [str(folder)], tmp_path / "fused.csv")
    temperature = opened[2].config["learned"]["temperature"]
    assert isinstance(temperature, float)
    powers = np.sqrt(members.prod(axis=0).astype(float)) ** (1 / temperature)
    powers /= powers.sum(axis=1, keepdims=True)
    found = probabilities(read(tmp_path / "fused.csv"))
    np.testing.assert_allclose(found, powers, atol=1e-4)


def test_a_fusion_predicts_its_own_test_images_as_it_did(toy_runs: list[Path]) -> None:
    fused = open_run(toy_runs[2])
    classify, shapes = predictor(fused)
    assert shapes == {(8, 8, 3)}
    test = fused.predictions()["test"]
    images = toys.load(Config()).test
    rows = [test.ids.tolist().index(name) for name in images.ids]
    found = classify({(8, 8, 3): images.images[np.arange(30)]})
    np.testing.assert_allclose(found, test.probabilities[rows], atol=1e-4)


def test_damaged_files_are_in_the_table_and_end_with_exit_code_1(
    toy_runs: list[Path], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a" / "010.png").write_bytes(b"no image")
    (folder / "b" / "149.png").write_bytes((folder / "b" / "149.png").read_bytes()[:60])
    out = tmp_path / "table.csv"
    assert cli.main(["predict", str(toy_runs[0]), str(folder), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "2 of 150 files can't be read: " in printed.err
    assert f"148 images are classified in {out}" in printed.out
    rows = read(out)
    assert [Path(row["file"]).name for row in rows if row["error"]] == ["010.png", "149.png"]
    assert "not a JPEG, PNG, WebP or TIFF image" in rows[10]["error"]
    others = np.delete(np.arange(150), [10, 149])
    found = probabilities([rows[i] for i in others])
    np.testing.assert_allclose(found, expected(toy_runs[0])[others], atol=1e-5)


def test_an_interrupted_table_goes_on(toy_runs: list[Path], folder: Path, tmp_path: Path) -> None:
    opened, out = [open_run(toy_runs[0])], tmp_path / "table.csv"
    predict.predict_files(opened, [str(folder)], tmp_path / "whole.csv")
    add, calls = table.add, []

    def fail_at_third(path: Path, rows: list[dict[str, str]]) -> None:
        calls.append(len(rows))
        if len(calls) == 3:
            raise KeyboardInterrupt
        add(path, rows)

    with mock.patch.object(table, "add", fail_at_third), pytest.raises(KeyboardInterrupt):
        predict.predict_files(opened, [str(folder)], out)
    assert not out.exists()
    with (tmp_path / "table.csv.part").open("a") as file:
        file.write('{"file": "half of a li')
    predict.predict_files(opened, [str(folder)], out)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_interrupted_table_of_something_else_is_refused(
    toy_runs: list[Path], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "table.csv"
    table.begin(out, {"runs": ["others"], "paths": [str(folder)]})
    with pytest.raises(UsageError, match=r"table\.csv\.part is of other runs or images"):
        predict.predict_files([open_run(toy_runs[0])], [str(folder)], out)
    predict.predict_files([open_run(toy_runs[0])], [str(folder)], out, overwrite=True)
    assert len(read(out)) == 150


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{folder}", "is not a complete run directory: name one before the images"),
        ("{run}", "there are no images to classify"),
        ("{run} {folder}/none", "matches no file or folder"),
        ("{run} {folder} --out {folder}", "is a folder"),
        ("{run} {folder} --out {folder}/none/x.csv", "there is no folder"),
        ("{run} {folder} --out {folder}/x.txt", "it must end in .csv or .jsonl"),
        ("{run} {folder} --out {run}/x.csv", "is in a run directory"),
    ],
)
def test_wrong_calls(
    line: str, message: str, toy_runs: list[Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = line.format(run=toy_runs[0], folder=folder).split()
    assert cli.main(["predict", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_runs_of_other_classes_do_not_predict_together(
    toy_runs: list[Path], folder: Path, tmp_path: Path
) -> None:
    both = [open_run(toy_runs[0]), open_run(run_with_classes(toy_runs[1], tmp_path))]
    with pytest.raises(UsageError, match="has other classes than"):
        predict.predict_files(both, [str(folder)], tmp_path / "x.csv")


def run_with_classes(path: Path, tmp_path: Path) -> Path:
    """Return a copy of a run whose classes have other names."""
    copy = tmp_path / "other"
    copy.mkdir()
    for name in ("config.json", "predictions.npz", "model.keras"):
        (copy / name).write_bytes((path / name).read_bytes())
    dataset = dict(open_run(path).config["dataset"]) | {"class_names": ["a", "b", "c"]}
    change_json(copy / "config.json", dataset=dataset)
    write_manifest(copy)
    return copy


def test_a_network_that_is_damaged(toy_runs: list[Path], folder: Path, tmp_path: Path) -> None:
    broken = run_with_classes(toy_runs[0], tmp_path)
    (broken / "model.keras").write_bytes(b"")
    write_manifest(broken)
    with pytest.raises(RunError, match=r"model\.keras"):
        predict.predict_files([open_run(broken)], [str(folder)], tmp_path / "x.csv")


def test_files_folders_and_patterns(folder: Path) -> None:
    assert len(list(find_images([str(folder)]))) == 150
    assert list(find_images([str(folder / "notes.txt")])) == [str(folder / "notes.txt")]
    found = list(find_images([f"{folder}/**/00*.png"]))
    assert [Path(name).name for name in found] == [f"00{i}.png" for i in range(10)]


def test_files_that_changed_meanwhile_are_noticed(
    toy_runs: list[Path], folder: Path, tmp_path: Path
) -> None:
    opened, out = [open_run(toy_runs[0])], tmp_path / "table.csv"
    with (
        mock.patch.object(table, "finish", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        predict.predict_files(opened, [str(folder)], out)
    (folder / "a" / "003.png").unlink()
    with pytest.raises(UsageError, match="holds other files than are there now"):
        predict.predict_files(opened, [str(folder)], out)


def test_images_in_folders_of_their_classes_are_judged(
    toy_runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = toys.arrays(60, 99)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "own" / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    (tmp_path / "own" / "red" / "broken.png").write_bytes(b"no image")
    out = tmp_path / "table.csv"
    call = ["predict", str(toy_runs[0]), str(tmp_path / "own"), "--out", str(out)]
    assert cli.main(call) == 1  # for the broken file
    rows = [row for row in read(out) if not row["error"]]
    right = np.array([row["class"] == Path(row["file"]).parent.name for row in rows])
    page = out.with_suffix(".html").read_text()
    assert "<h1>60 images classified by run0</h1>" in page
    wrong = [row for row, correct in zip(rows, right, strict=True) if not correct]
    assert len(rows) == 60
    assert wrong
    wrong.sort(key=lambda row: -float(row["confidence"]))
    cells: dict[tuple[str, str], list[str]] = {}
    for row in wrong:
        cells.setdefault((Path(row["file"]).parent.name, row["class"]), []).append(row["file"])
    shown = {row["file"] for row in wrong[:24]}.union(*(files[:6] for files in cells.values()))
    assert {row["file"] for row in wrong if row["file"] in page} == shown

    (tmp_path / "own" / "red" / "broken.png").unlink()
    assert cli.main(call) == 2
    assert f"{out} exists: choose another --out, or add --overwrite" in capsys.readouterr().err
    assert cli.main([*call, "--overwrite"]) == 0
    printed = capsys.readouterr().out
    accuracy = next(line for line in printed.splitlines() if line.startswith("accuracy: "))
    assert accuracy == f"accuracy: {100 * right.mean():.2f} %"
    assert f"report: {out.with_suffix('.html')}" in printed


def test_images_of_which_one_is_elsewhere_are_not_judged(
    toy_runs: list[Path], folder: Path, tmp_path: Path
) -> None:
    for old, new in (("a", "red"), ("b", "other")):
        (folder / old).rename(folder / new)
    out = tmp_path / "table.csv"
    predict.predict_files([open_run(toy_runs[0])], [str(folder)], out)
    assert not out.with_suffix(".html").exists()


def test_images_of_which_a_class_is_missing_are_not_judged() -> None:
    rows = [
        {"file": f"{name}/{i}.png", "error": "", "probabilities": {"a": 0.6, "b": 0.39}}
        for name in NAMES[:2]
        for i in range(2)
    ]
    assert known_labels(rows, NAMES) is None
    found = known_labels([*rows, rows[0]], NAMES[:2])
    assert found is not None
    assert found.ids.tolist() == [row["file"] for row in rows]  # each once
    assert found.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)
