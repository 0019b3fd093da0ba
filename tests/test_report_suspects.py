from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import change_json
from tests.test_report_page import Page
from tfmodels import cli
from tfmodels.errors import UsageError
from tfmodels.report.suspects import find_suspects
from tfmodels.runs.contents import open_run
from tfmodels.runs.manifest import write_manifest
from tfmodels.runs.predictions import align

MakeRun = Callable[..., Path]


@pytest.fixture
def runs(make_run: MakeRun) -> list[Path]:
    """Three runs that make many mistakes, their images in different orders."""
    return [make_run(f"run{seed}", skill=0.3, seed=seed, order_seed=seed) for seed in range(3)]


def test_suspects_are_what_all_runs_confuse_with_the_same_class(runs: list[Path]) -> None:
    suspects, tested = find_suspects([open_run(run) for run in runs])
    tests = {str(run): open_run(run).predictions()["test"] for run in runs}
    ids, labels, probabilities = align(tests)
    predicted = probabilities.argmax(axis=2)
    expected = {
        ids[i]: probabilities[:, i, predicted[0, i]].mean()
        for i in range(len(ids))
        if len(set(predicted[:, i])) == 1 and predicted[0, i] != labels[i]
    }
    assert tested == 150
    assert 0 < len(expected) < 150
    found = {suspect.id: suspect.confidence for suspect in suspects}
    assert found == pytest.approx(expected)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert {suspect.runs for suspect in suspects} == {3}
    assert all(suspect.label == suspect.id.split("_")[0] for suspect in suspects)


def test_images_that_only_one_run_tested_do_not_count(
    runs: list[Path],
) -> None:
    with pytest.raises(UsageError, match="no image was tested by 2 of the runs"):
        find_suspects([open_run(runs[0])])


def test_the_page_counts_and_shows_them(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert cli.main(["suspects", str(tmp_path), "--out", str(page)]) == 0
    suspects, _ = find_suspects([open_run(run) for run in runs])
    said = f"{len(suspects)} of 150 test images ({len(suspects) / 150:.2%})"
    assert said in capsys.readouterr().out
    shown = Page(page.read_text())
    assert said in shown.text
    assert not shown.open
    assert len(shown.addresses) == len(suspects)
    assert all((address or "").startswith("data:image/png") for address in shown.addresses)
    assert np.mean([suspect.id in shown.text for suspect in suspects]) == 1


@pytest.mark.parametrize(("name", "message"), [("run0", "in a run directory"), ("no", "no folder")])
def test_a_page_elsewhere_only(
    runs: list[Path], tmp_path: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["suspects", str(tmp_path), "--out", str(tmp_path / name / "x.html")]) == 2
    assert message in capsys.readouterr().err


def test_runs_of_other_images_are_refused(runs: list[Path]) -> None:
    dataset = open_run(runs[1]).config["dataset"]
    change_json(runs[1] / "config.json", dataset=dict(dataset) | {"checksum": "1"})
    write_manifest(runs[1])
    with pytest.raises(UsageError, match="run1 is of other images"):
        find_suspects([open_run(run) for run in runs])
