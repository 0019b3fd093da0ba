import base64
import html.parser
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tests.conftest import change_json
from tfmodels.errors import RunError
from tfmodels.fusion.combine import run_fusion
from tfmodels.fusion.members import load_members
from tfmodels.report.page import PER_CELL, write_report
from tfmodels.report.templates import data_url
from tfmodels.runs.contents import open_run, open_unfinished
from tfmodels.runs.formats import Metrics
from tfmodels.runs.manifest import write_manifest
from tfmodels.runs.predictions import Predictions, save_images, save_predictions
from tfmodels.safe_files import read_json, write_json

MakeRun = Callable[..., Path]


class Page(html.parser.HTMLParser):
    """What a report refers to, and whether its tags close."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str | None] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(*runs: Path, out: Path) -> Page:
    write_report([open_run(run) for run in runs], out)
    return Page(out.read_text())


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    """A run with its report."""
    run = make_run(skill=1.0, seed=1)
    write_report([open_run(run)], run / "report.html")
    return run


def test_it_is_one_page_that_needs_nothing_else(make_run: MakeRun, tmp_path: Path) -> None:
    page = page_of(make_run(), out=tmp_path / "report.html")
    assert not page.open
    outside = [a for a in page.addresses if a and not a.startswith("data:")]
    assert not [a for a in outside if not a.startswith("#")]  # parts of an SVG
    assert "url(http" not in (tmp_path / "report.html").read_text()


def test_it_shows_the_metrics_of_the_run(run: Path) -> None:
    page = Page((run / "report.html").read_text())
    test = read_json(run / "metrics.json", dict[str, Metrics])["test"]
    assert f"{100 * test['mean_class_accuracy']:.2f}" in page.text
    assert "; ".join(test["most_confused"]) in page.text
    val = read_json(run / "metrics.json", dict[str, Metrics])["val"]
    text = (run / "report.html").read_text()
    assert f"<td>{100 * val['mean_class_accuracy']:.2f}</td><td>0.2</td>" in text
    assert "python train_eurosat.py --model mobilenetv2" in page.text
    assert "Split: random, seed 0" in page.text
    cells = re.findall(r"<td style=\"--share: [0-9.]+\">(?:<button.*?>)?<span>(\d+)", text)
    assert [int(cell) for cell in cells] == np.ravel(test["confusion_matrix"]).tolist()


def test_the_most_confident_mistakes_are_shown_as_images(run: Path, tf_test: Any) -> None:
    test = open_run(run).predictions()["test"]
    wrong = test.probabilities.argmax(axis=1) != test.labels
    confidence = np.where(wrong, test.probabilities.max(axis=1), 0)
    worst = test.ids[confidence.argmax()]
    most_confident = (run / "report.html").read_text().split("<h3>Most confident mistakes</h3>")[1]
    shown = [a for a in Page(most_confident.split("</ul>")[0] + "</ul>").addresses if a]
    assert len(shown) == min(24, wrong.sum())
    png = io.BytesIO(base64.b64decode(shown[0].split(",")[1]))
    image = np.round(255 * imread(png)[..., :3]).astype("uint8")
    tf_test.assertAllEqual(image, open_run(run).images("mistakes.npz")[worst])


def test_a_cell_of_the_matrix_opens_the_images_of_its_mistakes(run: Path) -> None:
    text = (run / "report.html").read_text()
    test, names = (
        open_run(run).predictions()["test"],
        open_run(run).config["dataset"]["class_names"],
    )
    for row in range(3):
        for column in range(3):
            ids = [
                test.ids[i]
                for i in test.mistakes()
                if (test.labels[i], test.probabilities[i].argmax()) == (row, column)
            ]
            name = re.search(
                rf'popovertarget="([^"]*)" title="{names[row]} confused with {names[column]}"', text
            )
            assert bool(name) == bool(ids)
            if name:
                shown = text.split(f'<div popover id="{name[1]}">')[1].split("</div>")[0]
                assert re.findall('alt="(.*?)"', shown) == ids[:PER_CELL]


def test_each_run_has_a_tile_with_its_interval(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("first", seed=1), make_run("second", seed=2)]
    page_of(*runs, out=tmp_path / "both.html")
    tiles = (tmp_path / "both.html").read_text().split('<div class="tile" ')[1:]
    for run, tile in zip(runs, tiles, strict=True):
        test = open_run(run).predictions()["test"]
        correct = test.probabilities.argmax(axis=1) == test.labels
        drawn = np.random.default_rng(5).integers(len(correct), size=(4000, len(correct)))
        hits = [
            np.mean([correct[rows][test.labels[rows] == label].mean() for label in range(3)])
            for rows in drawn
        ]
        low, high = map(float, re.findall(r"([\d.]+) to ([\d.]+)", tile)[0])
        assert np.allclose([low, high], 100 * np.quantile(hits, [0.025, 0.975]), atol=2)
        assert (
            f"<strong>{100 * open_run(run).metrics()['test']['mean_class_accuracy']:.2f} %" in tile
        )
        assert ">run" in tile
        assert run.name in tile
        assert "0.2 minutes" in tile


def test_classes_stand_with_the_worst_first(run: Path) -> None:
    text = (run / "report.html").read_text().split('<div class="bars">')[1]
    recalls = [float(recall) for recall in re.findall(r"<span>([\d.]+) %</span>", text)]
    per_class = open_run(run).metrics()["test"]["per_class"].values()
    assert recalls == sorted(round(100 * scores["recall"], 2) for scores in per_class)


def test_the_curves_of_several_runs_share_a_figure(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("first", seed=1), make_run("second", seed=2)]
    page_of(*runs, out=tmp_path / "both.html")
    text = (tmp_path / "both.html").read_text()
    figures = text.split("<h2>Training</h2>")[1].split("<h2>")[0]
    assert figures.count("<svg") == 2
    assert figures.count(">run 1<") == figures.count(">run 2<") == 2
    page_of(runs[0], out=tmp_path / "one.html")
    assert "<h2>Training</h2>" not in (tmp_path / "one.html").read_text()


def test_large_images_are_reduced_where_many_are_shown() -> None:
    image = np.zeros((300, 600, 3), np.uint8)
    for largest, shape in ((None, (300, 600)), (128, (64, 128))):
        png = base64.b64decode(data_url(image, largest).split(",")[1])
        assert imread(io.BytesIO(png)).shape[:2] == shape


def test_beside_a_mistake_is_what_speaks_for_its_class(run: Path, tmp_path: Path) -> None:
    assert "Grad-CAM" not in (run / "report.html").read_text()
    test = open_run(run).predictions()["test"]
    heat = np.full((4, 4, 3), 77, np.uint8)
    save_images(run / "grad_cam.npz", test.ids[test.mistakes()[:1]], [heat])
    write_manifest(run)
    write_report([open_run(run)], tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert text.count('alt="what speaks for') == 1
    assert "(Grad-CAM)" in text
    assert data_url(heat) in text


def test_a_fusion_stands_beside_its_members(make_run: MakeRun, tmp_path: Path) -> None:
    members = load_members([make_run("first", seed=1), make_run("second", seed=2)])
    run_fusion(members, "weighted", False, tmp_path / "fused")
    page = Page((tmp_path / "fused" / "report.html").read_text())
    comparison = open_run(tmp_path / "fused").comparison()
    assert comparison["differences"]["fusion"]["in_words"] in page.text
    for name in ("first", "second", "oracle"):
        assert name in page.text
    assert "weights" in page.text
    low, high = comparison["intervals"]["first"]["f1"]
    assert f"{100 * low:.2f}–{100 * high:.2f}" in page.text


def test_several_runs_are_compared(make_run: MakeRun, tmp_path: Path) -> None:
    first, second = make_run("first", seed=1, lr=0.1), make_run("second", seed=2, lr=0.2)
    page_of(first, second, out=tmp_path / "both.html")
    text = (tmp_path / "both.html").read_text()
    table = text.split("<h2>Settings that differ</h2>")[1].split("</table>")[0]
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in table.split("<tr>")[1:]]
    assert rows == [["setting", "run 1", "run 2"], ["lr", "0.1", "0.2"]]
    assert re.search(r"<summary>The others</summary>\s*<dl.*?<dt>model</dt>", text)
    assert text.count('class="matrix"') == 2


def test_fusions_side_by_side_show_each_member_once(make_run: MakeRun, tmp_path: Path) -> None:
    a, b, c = make_run("a"), make_run("b", seed=1, order_seed=4), make_run("c", seed=2)
    for name, members in (("ab", [a, b]), ("bc", [b, c])):
        run_fusion(load_members(members), "sum", False, tmp_path / name)
    page_of(b, tmp_path / "ab", tmp_path / "bc", out=tmp_path / "both.html")
    table = (tmp_path / "both.html").read_text().split("<tbody>")[1].split("</tbody>")[0]
    rows = [re.split("</?td>", row) for row in table.split("<tr>")[1:]]
    ab, bc = (f"oracle of {name} (correct where any member is)" for name in ("ab", "bc"))
    assert [row[1] for row in rows] == ["b", "a", "ab", ab, "c", "bc", bc]
    assert rows[0][-2] == "0.2"  # and the minutes, which its fusions don't know


def test_names_cannot_break_the_page(make_run: MakeRun, tmp_path: Path) -> None:
    page = page_of(make_run("<b>&run"), out=tmp_path / "report.html")
    assert "<b>&run" in page.text


def test_a_run_without_the_images_of_its_mistakes_says_so(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(skill=1.0)
    save_images(run / "mistakes.npz", np.array([], str), [])
    write_manifest(run)
    page = page_of(run, out=tmp_path / "report.html")
    assert "Images that are not in the run directory are only named" in page.text


@pytest.mark.parametrize("file", ["predictions.npz", "history.csv", "mistakes.npz"])
def test_a_damaged_run_is_named_and_leaves_no_report(
    make_run: MakeRun, tmp_path: Path, file: str
) -> None:
    run = make_run()
    for damage in ((run / file).read_bytes()[:-9], b""):
        (run / file).write_bytes(damage)
        with pytest.raises(RunError, match=f"{file} doesn't match the manifest"):
            write_report([open_run(run)], tmp_path / "report.html")
    (run / file).unlink()
    with pytest.raises(RunError, match=f"{file} is missing"):
        write_report([open_run(run)], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_runs_have_aliases_and_colours_of_their_own(make_run: MakeRun, tmp_path: Path) -> None:
    name = "eurosat_mobilenetv2_a_long_name_that_begins_like_the_other"
    runs = [make_run(f"{name}{i}", seed=i) for i in range(3)]
    page_of(*runs, out=tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    legend = text.split('<ul class="legend">')[1].split("</ul>")[0]
    entries = re.findall(r"var\(--(run-\d)\)\">(.*?)</span>(.*?)</li>", legend)
    assert entries == [(f"run-{i + 1}", f"run {i + 1}", f"{name}{i}") for i in range(3)]
    assert all(f"--{colour}: #" in text for colour, _, _ in entries)
    bars = re.findall(r"--colour: var\(--(run-\d)\)\"><span>(run \d)&nbsp;", text)
    assert bars == 3 * [(colour, alias) for colour, alias, _ in entries]  # in 3 classes


def test_an_oracle_is_named_after_its_fusion(make_run: MakeRun, tmp_path: Path) -> None:
    members = load_members([make_run("a", seed=1), make_run("b", seed=2)])
    run_fusion(members, "sum", False, tmp_path / "fused")
    text = (tmp_path / "fused" / "report.html").read_text()
    assert re.findall(r"--run-0\)\">(.*?)</span>oracle of fused", text) == ["oracle of run 3"]


@pytest.mark.parametrize(("classes", "tables"), [(30, 1), (31, 0)])
def test_the_matrix_of_many_classes_is_left_out(
    run: Path, tmp_path: Path, classes: int, tables: int
) -> None:
    labels = np.arange(classes)
    test = Predictions(labels.astype(str), labels, np.eye(classes, dtype=np.float32))
    names = tuple(f"class {i}" for i in range(classes))
    save_predictions(run / "predictions.npz", {"test": test}, names)
    dataset = open_run(run).config["dataset"]
    change_json(
        run / "config.json",
        dataset={**dataset, "class_names": names, "splits": {"test": classes}},
    )
    write_manifest(run)
    page = page_of(run, out=tmp_path / "report.html")
    assert not page.open
    text = (tmp_path / "report.html").read_text()
    assert text.count('class="matrix"') == tables
    assert text.count("<details>") == 1 - tables
    assert ("figures/confusion_matrix.png" in page.text) == (not tables)


def test_one_run_has_no_legend(run: Path) -> None:
    assert '<ul class="legend">' not in (run / "report.html").read_text()


def test_a_run_with_equal_predictions_is_left_out_with_a_warning(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, copy = make_run("first", seed=1), make_run("second", seed=2), make_run("copy")
    (copy / "predictions.npz").write_bytes((first / "predictions.npz").read_bytes())
    write_manifest(copy)
    page_of(first, second, copy, out=tmp_path / "report.html")
    assert capsys.readouterr().err == (
        f"warning: {copy} has the same predictions as {first} and is left out of the report\n"
    )
    assert (tmp_path / "report.html").read_text().count('class="matrix"') == 2


def test_its_metrics_are_of_the_predictions_whatever_metrics_json_says(
    run: Path, tmp_path: Path
) -> None:
    before = page_of(run, out=tmp_path / "report.html").text
    forgeries: list[Any] = [{"test": {"mean_class_accuracy": 2.0}}, {"test": "x"}, []]
    for forged in forgeries:
        write_json(run / "metrics.json", forged)
        write_manifest(run)
        assert page_of(run, out=tmp_path / "report.html").text == before


def test_the_report_of_a_run_replaces_a_link_and_follows_none(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("of someone else")
    for name in ("report.html", "report.html.part"):  # the latter was written through
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(other)
    write_report([open_run(run)], run / "report.html")
    assert other.read_text() == "of someone else"
    assert not (run / "report.html").is_symlink()


def test_a_run_matches_its_manifest_when_its_report_was_written_again(run: Path) -> None:
    (run / "report.html").write_text("")
    write_report([open_run(run)], run / "report.html")
    assert open_run(run).file("report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_run_that_is_not_complete_is_shown_as_far_as_it_is(
    make_run: MakeRun, tmp_path: Path, epochs: int
) -> None:
    begun = make_run("run").rename(tmp_path / "run.incomplete")
    for name in ("predictions.npz", "mistakes.npz", "metrics.json", "manifest.json"):
        (begun / name).unlink()
    if not epochs:
        (begun / "history.csv").unlink()
    complete = make_run("complete")
    for runs in ([open_unfinished(begun)], [open_run(complete), open_unfinished(begun)]):
        write_report(runs, tmp_path / "report.html")
        page = Page((tmp_path / "report.html").read_text())
        assert not page.open
        assert "run isn't complete: it has no results yet" in page.text
        assert "python train_eurosat.py --model mobilenetv2" in page.text
        curves = (tmp_path / "report.html").read_text().count("<h3>Training</h3>")
        assert curves == len(runs) - 1 + bool(epochs)
    write_report([open_unfinished(begun)], begun / "report.html")
    assert not (begun / "manifest.json").exists()


def test_predictions_are_shown_as_soon_as_they_are_there(make_run: MakeRun, tmp_path: Path) -> None:
    begun = make_run("run", skill=1.0).rename(tmp_path / "run.incomplete")
    for name in ("mistakes.npz", "metrics.json", "manifest.json"):
        (begun / name).unlink()
    write_report([open_unfinished(begun)], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert "Most confused: " in page.text
    assert "Images that are not in the run directory are only named" in page.text
