import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import change_json
from tfmodels.fusion.combine import run_fusion
from tfmodels.fusion.members import load_members
from tfmodels.report.index import write_index
from tfmodels.runs.contents import open_run
from tfmodels.runs.manifest import write_manifest

MakeRun = Callable[..., Path]


def rows(folder: Path) -> dict[str, list[str]]:
    """Return the cells of each run of a page by its name."""
    text = (folder / "index.html").read_text()
    found = [
        re.findall(r"<td[^>]*>(.*?)</td>", line) for line in text.splitlines() if "<td" in line
    ]
    return {re.sub("<.*?>", "", cells[0]): cells[1:] for cells in found}


def test_all_complete_runs_are_listed_with_what_they_reach(
    make_run: MakeRun, tmp_path: Path
) -> None:
    members = [
        make_run("first", seed=1),
        make_run("second & last", seed=2, recipe="tuned", epochs=9),
    ]
    run_fusion(load_members(members), "sum", False, tmp_path / "fused")
    (tmp_path / "third.incomplete").mkdir()
    (tmp_path / "notes").mkdir()
    write_index(tmp_path)
    found = rows(tmp_path)
    assert list(found) == ["first", "fused", "second &amp; last"]
    for path in (*members, tmp_path / "fused"):
        metrics = open_run(path).metrics()
        cells = found[path.name.replace("&", "&amp;")]
        means = [f"{100 * metrics[part]['mean_class_accuracy']:.2f}" for part in ("val", "test")]
        assert cells[5:7] == means
    assert found["second &amp; last"][:5] == ["eurosat", "mobilenetv2", "tuned", "", "9"]
    assert found["fused"][1] == "fusion, sum"
    assert found["first"][8:] == ["0.2", "2026-01-02"]
    text = (tmp_path / "index.html").read_text()
    assert 'href="second%20%26%20last/report.html"' in text
    assert "http" not in text


def test_a_fusion_writes_the_page_by_itself(make_run: MakeRun, tmp_path: Path) -> None:
    members = load_members([make_run("first", seed=1), make_run("second", seed=2)])
    run_fusion(members, "sum", False, tmp_path / "fused")
    assert set(rows(tmp_path)) == {"first", "second", "fused"}


def test_a_damaged_run_is_named_with_its_fault(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("first")
    change_json(run / "metrics.json", test={})
    write_index(tmp_path)
    (fault,) = rows(tmp_path)["first"]
    assert "metrics.json doesn&#39;t match the manifest" in fault
    write_manifest(run)
    write_index(tmp_path)
    (fault,) = rows(tmp_path)["first"]
    assert "metrics.json can&#39;t be read" in fault


def test_a_page_of_someone_else_stays(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("first")
    (tmp_path / "index.html").write_text("mine")
    write_index(tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"
    (tmp_path / "index.html").unlink()
    (tmp_path / "index.html").mkdir()
    write_index(tmp_path)
    assert "is of something else" in capsys.readouterr().err
