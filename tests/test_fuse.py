"""fuse.py and the report's command, as their users start them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT


def start(*args: Any, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *map(str, args)], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_alone_it_fuses_the_newest_pretrained_two(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_run("mobile", model="mobilenetv2", weights="imagenet", seed=1)
    make_run("alex", model="alexnet", weights="imagenet", seed=2)
    done = start("fuse.py", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"run 1: {tmp_path / 'mobile'}\nrun 2: {tmp_path / 'alex'}\n\n")
    assert "Most confused by the fusion: " in done.stdout
    run = done.stdout.splitlines()[-1].removeprefix("report: ").removesuffix("/report.html")
    again = start("fuse.py", "--out", tmp_path)
    assert again.returncode == 2
    assert again.stderr == (f"fuse.py: {run} exists: choose another --name, or add --overwrite\n")
    both = tmp_path / "both.html"
    report = start("-m", "tfmodels.report", run, tmp_path / "mobile", "--out", both)
    assert report.returncode == 0, report.stderr
    assert "alex" in both.read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            (),
            "runs holds no complete run of a pretrained MobileNet or AlexNet on EuroSAT: "
            "train one with --model mobilenetv2 and --weights imagenet and one with "
            "--model alexnet and --weights imagenet, or name the runs to fuse",
        ),
        (("nowhere", "elsewhere"), "nowhere is not a complete run directory"),
        (("--all-methods", "--method", "vote"), "leave --method out"),
        (("--method", "mean"), "invalid choice: 'mean'"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    done = start(ROOT / "fuse.py", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_fusing_does_not_load_tensorflow() -> None:
    code = "import sys, tfmodels.fusion.combine; print('tensorflow' in sys.modules)"
    assert start("-c", code).stdout == "False\n"
