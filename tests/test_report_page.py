import base64
import html.parser
import io
import re

import numpy as np
import pytest
from matplotlib.image import imread

from tfmodels import runs
from tfmodels.ensemble import run_fusion
from tfmodels.errors import RunError
from tfmodels.fusion.members import load_members
from tfmodels.report.page import write_report
from tfmodels.runs.predictions import load_mistakes, load_predictions


class Page(html.parser.HTMLParser):
    """What a report refers to, and whether its tags close."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.addresses, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page_of(*runs, out):
    write_report(runs, out)
    return Page(out.read_text())


@pytest.fixture
def run(make_run):
    """A run with its report."""
    run = make_run(skill=1.0, seed=1)
    write_report([run], run / "report.html")
    return run


def test_it_is_one_page_that_needs_nothing_else(make_run, tmp_path):
    page = page_of(make_run(), out=tmp_path / "report.html")
    assert not page.open
    outside = [a for a in page.addresses if a and not a.startswith("data:")]
    assert not [a for a in outside if not a.startswith("#")]  # parts of an SVG
    assert "url(http" not in (tmp_path / "report.html").read_text()


def test_it_holds_the_figures_of_the_run(run):
    page = Page((run / "report.html").read_text())
    test = runs.read_json(run / "metrics.json")["test"]
    assert f"{100 * test['mean_class_accuracy']:.2f}" in page.text
    assert "; ".join(test["most_confused"]) in page.text
    assert "python train_eurosat.py --model mobilenetv2" in page.text
    assert "Split: random, seed 0" in page.text
    cells = re.findall(r"<td style=\"--share: [0-9.]+\">(\d+)", (run / "report.html").read_text())
    assert [int(cell) for cell in cells] == np.ravel(test["confusion_matrix"]).tolist()


def test_the_most_confident_mistakes_are_shown_as_pictures(run):
    page = Page((run / "report.html").read_text())
    test = load_predictions(run / "predictions.npz")[0]["test"]
    wrong = test.probabilities.argmax(axis=1) != test.labels
    confidence = np.where(wrong, test.probabilities.max(axis=1), 0)
    worst = test.ids[confidence.argmax()]
    shown = [a for a in page.addresses if a.startswith("data:image/png;base64,")]
    assert len(shown) == min(24, wrong.sum())
    png = io.BytesIO(base64.b64decode(shown[0].split(",")[1]))
    picture = np.round(255 * imread(png)[..., :3]).astype("uint8")
    np.testing.assert_array_equal(picture, load_mistakes(run / "mistakes.npz")[worst])


def test_a_fusion_stands_beside_its_members(make_run, tmp_path):
    members = load_members([make_run("first", seed=1), make_run("second", seed=2)])
    run_fusion(members, "weighted", False, tmp_path / "fused")
    page = Page((tmp_path / "fused" / "report.html").read_text())
    told = runs.read_json(tmp_path / "fused" / "fusion.json")
    assert told["differences"]["fusion"]["in_words"] in page.text
    for name in ("first", "second", "oracle"):
        assert name in page.text
    assert "weights" in page.text
    low, high = told["intervals"]["first"]["f1"]
    assert f"{100 * low:.2f}–{100 * high:.2f}" in page.text


def test_several_runs_are_compared(make_run, tmp_path):
    first, second = make_run("first", seed=1, lr=0.1), make_run("second", seed=2, lr=0.2)
    page_of(first, second, out=tmp_path / "both.html")
    text = (tmp_path / "both.html").read_text()
    differs = re.findall(r"class=\"differs\"><td>(\w+)</td>", text)
    assert differs == ["lr"]
    assert text.count('class="matrix"') == 2


def test_fusions_side_by_side_show_each_member_once(make_run, tmp_path):
    a, b, c = make_run("a"), make_run("b", seed=1, order_seed=4), make_run("c", seed=2)
    for name, members in (("ab", [a, b]), ("bc", [b, c])):
        run_fusion(load_members(members), "sum", False, tmp_path / name)
    page_of(b, tmp_path / "ab", tmp_path / "bc", out=tmp_path / "both.html")
    table = (tmp_path / "both.html").read_text().split("<tbody>")[1].split("</tbody>")[0]
    rows = [re.split("</?td>", row) for row in table.split("<tr>")[1:]]
    ab, bc = (f"oracle of {name} (right where any member is)" for name in ("ab", "bc"))
    assert [row[1] for row in rows] == ["b", "a", "ab", ab, "c", "bc", bc]
    assert "–" in rows[0][5]  # with its interval, which b alone doesn't have


def test_names_cannot_break_the_page(make_run, tmp_path):
    page = page_of(make_run("<b>&run"), out=tmp_path / "report.html")
    assert "<b>&run" in page.text


def test_a_run_without_pictures_says_so(make_run, tmp_path):
    run = make_run(skill=1.0)
    (run / "mistakes.npz").unlink()
    page = page_of(run, out=tmp_path / "report.html")
    assert "Pictures that the run directory doesn't hold are named only" in page.text


def test_a_damaged_run_is_named_and_leaves_no_report(make_run, tmp_path):
    run = make_run()
    (run / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"config\.json can't be read"):
        write_report([run], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
