"""A quick part of the stress program; docs/RELIABILITY.md has the whole."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.stress import PARTS, read, run_part
from benchmarks.stress_processes import CONFIGS
from tfmodels.config import flag
from tfmodels.models.catalog import NETWORKS
from tfmodels.recipes import RECIPES


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stress")


@pytest.mark.parametrize(("part", "count"), [("damaged", 4), ("hostile", 12), ("lines", 20)])
def test_the_quick_part(part: str, count: int, out: Path) -> None:
    # Spread over the whole part, whose first cases are alike; times are for a quiet machine.
    numbers = np.linspace(0, PARTS[part][1] - 1, count).astype(int).tolist()
    run_part(part, numbers, 60, out)
    faults = [case["fault"] for case in read(out, part)]
    assert len(faults) == count
    assert not [fault for fault in faults if fault and not fault.startswith("took ")]


def test_finished_cases_are_not_run_again(out: Path) -> None:
    (out / "again").mkdir()
    (out / "again" / "kills.jsonl").write_text('{"number": 0, "what": "x", "fault": "y"}\n')
    assert run_part("kills", [0], 60, out / "again") == 1


def test_all_networks_are_killed() -> None:
    lines = " ".join(line for _, line in CONFIGS.values())
    assert not [
        name for name in NETWORKS if name not in ("vgg", "toy") and f"--model {name} " not in lines
    ]
    assert {flag(name) for recipe in RECIPES.values() for name in recipe({})} <= {*lines.split()}
