import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import change_json
from tfmodels import cli
from tfmodels.errors import UsageError
from tfmodels.fusion.members import group_by_split
from tfmodels.fusion.significance import mcnemar
from tfmodels.report.seeds import difference
from tfmodels.runs.contents import open_run
from tfmodels.runs.manifest import write_manifest

MakeRun = Callable[..., Path]


@pytest.fixture
def make_split_run(make_run: MakeRun) -> Callable[[str, int, float], Path]:
    """A function that makes a run of a network on the split of a seed."""

    def make(network: str, seed: int, skill: float) -> Path:
        number = 2 * seed + (network == "mobile")
        run = make_run(f"{network}_seed{seed}", skill=skill, seed=number, order_seed=number)
        config = open_run(run).config
        dataset = config["dataset"] | {"split": f"random, seed {seed}; leaks"}
        change_json(run / "config.json", dataset=dataset, settings=config["settings"] | {"n": 1})
        write_manifest(run)
        return run

    return make


@pytest.fixture
def runs(make_split_run: Callable[[str, int, float], Path]) -> list[Path]:
    return [
        make_split_run(network, seed, skill)
        for seed in (0, 1, 2)
        for network, skill in (("alex", 1.5), ("mobile", 2.0))
    ]


def test_runs_are_grouped_by_their_split_in_one_order(runs: list[Path]) -> None:
    mixed = [runs[1], runs[2], runs[0], runs[5], runs[3], runs[4]]
    groups = group_by_split(mixed)
    assert groups == [runs[:2], runs[2:4], runs[4:]]
    assert group_by_split([runs[1], runs[0]]) == [[runs[1], runs[0]]]
    with pytest.raises(UsageError, match="name the same networks for each"):
        group_by_split(runs[:3])


def test_fusions_of_several_splits_are_compared_together(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["fuse", *map(str, runs), "--out", str(tmp_path / "fused")]
    # One is there already, of the same members in the other order, and so with images in another.
    assert cli.main(["fuse", str(runs[1]), str(runs[0]), *line[-2:]]) == 0
    capsys.readouterr()
    assert cli.main(line) == 0
    out, err = capsys.readouterr()
    assert err.count("complete already") == 1
    labels, fused, rival, gains = [], [], [], []
    for first, second in zip(runs[::2], runs[1::2], strict=True):
        tests = [open_run(run).predictions()["test"] for run in (first, second)]
        one, other = (test.probabilities[np.argsort(test.ids)] for test in tests)
        labels.append(tests[0].labels[np.argsort(tests[0].ids)])
        fused.append((one + other).argmax(axis=1))
        rival.append(other.argmax(axis=1))
        recalls = [
            np.mean([(found[labels[-1] == c] == c).mean() for c in range(3)])
            for found in (fused[-1], rival[-1])
        ]
        gains.append(100 * (recalls[0] - recalls[1]))
    gained, lost, p = mcnemar(*map(np.concatenate, (labels, fused, rival)))
    assert f"{gained} images gained and {lost} lost, McNemar p = {p:.2g}" in " ".join(out.split())
    rows = [re.split("  +", row) for row in out.splitlines() if row.startswith(("random", "mean,"))]
    assert [row[-1] for row in rows[:3]] == [f"{gain:+.2f}" for gain in gains]
    assert rows[3][-1] == difference(gains, 0.0)
    for row, run in zip(rows, runs[::2], strict=False):
        assert row[1] == f"{100 * open_run(run).metrics()['test']['mean_class_accuracy']:.2f}"
    assert "run 2: mobile" in out
    assert max(map(len, out.splitlines())) <= 80
    made = sorted((tmp_path / "fused").glob("*/"))
    assert len(made) == 3
    assert cli.main(line) == 0
    assert capsys.readouterr().err.count("complete already") == 3


@pytest.mark.parametrize("flag", [["--name", "x"], ["--all-methods"]])
def test_what_is_of_one_fusion_is_refused(
    flag: list[str], runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["fuse", *map(str, runs), *flag]) == 2
    assert f"fused one by one: leave {flag[0]} out" in capsys.readouterr().err
