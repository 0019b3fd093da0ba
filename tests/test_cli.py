import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tfmodels import __version__, cli
from tfmodels.commands import training
from tfmodels.config import Config, flag, kind
from tfmodels.errors import RunError, UsageError
from tfmodels.recipes import RECIPES, configure
from tfmodels.terminal import Parser, run_command


def training_parser(**options: Any) -> argparse.ArgumentParser:
    parser = Parser(prog="train", allow_abbrev=False)
    training.fill_training(parser, **options)
    return parser


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command line asks of the parts that load TensorFlow, which aren't called."""
    calls: list[Any] = []

    class Recorder:
        def run(self, config: Config, **options: Any) -> Path:
            calls.append((config, options))
            return Path("run")

        def run_table1(self, settings: Any, out: Path, overwrite: bool, seeds: Any) -> str:
            calls.append((settings, "table1", out, overwrite, seeds))
            return "the table"

        def run_seeds(self, config: Config, seeds: Any, out: Path, overwrite: bool) -> list[Path]:
            calls.append((config, seeds, out, overwrite))
            return [Path(f"run{seed}") for seed in seeds]

        def seeds_table(self, runs: list[Path]) -> str:
            return f"table of {len(runs)}"

        def run_table3(self, *arguments: Any, files: dict[str, str]) -> str:
            calls.append(files)
            return "the table"

        def is_first(self) -> bool:
            return True

        def summary(self, run: Path) -> str:
            return f"summary of {run}"

    monkeypatch.setattr(training, "import_quietly", lambda module: Recorder())
    return calls


def test_flags_and_settings_have_the_same_defaults(asked: list[Any], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path)]
    assert cli.main(["train", *out]) == cli.train_cifar(out) == cli.train_eurosat(out) == 0
    assert [config for config, _ in asked] == [Config(), Config(), Config(data="eurosat")]


def test_every_flag_reaches_its_setting(asked: list[Any], tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "data": "eurosat", "data_dir": str(tmp_path), "split_scheme": "spatial", "limit": 7,
        "augment": True, "model": "alexnet", "weights": "none", "image_size": 99, "epochs": 12,
        "batch_size": 3, "optimizer": "sgd", "lr": 0.1, "schedule": "cosine", "step_size": 4,
        "gamma": 0.5, "warmup_epochs": 2, "weight_decay": 0.01, "clip_norm": 1.5,
        "label_smoothing": 0.2, "ema": 0.9, "class_weights": True, "early_stopping": 3,
        "precision": "mixed_bfloat16", "seed": 6, "split_seed": 7,
        "deterministic": True, "views": "mirror",
    }  # fmt: skip
    line = []
    for name, value in values.items():
        line += [flag(name)] if value is True else [flag(name), str(value)]
    assert cli.main(["train", *line, "--out", str(tmp_path), "--name", "x"]) == 0
    assert asked == [(Config(**values), {"out": tmp_path, "name": "x", "overwrite": False})]
    left = {field.name for field in dataclasses.fields(Config)} - values.keys()
    assert left == {"archive", "skip_damaged", "trainable", "recipe"}


def test_settings_that_need_files(asked: list[Any], tmp_path: Path) -> None:
    weights = tmp_path / "x.keras"
    weights.write_text("")
    line = ["--weights", str(weights), "--train", "head", "--data", str(tmp_path)]
    assert cli.main(["train", *line, "--skip-damaged", "--out", str(tmp_path)]) == 0
    expected = Config(data=str(tmp_path), weights=str(weights), trainable="head", skip_damaged=True)
    assert asked[0][0] == expected


def test_the_studys_flag_for_a_constant_rate(asked: list[Any], tmp_path: Path) -> None:
    assert cli.train_cifar(["--no-step-decay", "--out", str(tmp_path)]) == 0
    assert asked[0][0] == Config(schedule="constant")


def test_each_script_has_a_sample_of_its_own(asked: list[Any], tmp_path: Path) -> None:
    out = ["--data", "sample", "--out", str(tmp_path)]
    assert cli.train_cifar(out) == cli.train_eurosat(out) == 0
    assert [config.data for config, _ in asked] == ["sample", "land-sample"]


def test_flags_override_a_recipe(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "quick", lambda asked: {"epochs": 2, "lr": 0.1})
    line = ["--recipe", "quick", "--epochs", "3", "--out", str(tmp_path)]
    assert cli.train_cifar(line) == 0
    assert asked[0][0] == configure("quick", epochs=3)


@pytest.mark.parametrize("name", ["lr", "epochs", "no-step-decay", "schedule", "name"])
def test_table1_refuses_what_it_sets_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"lr": ["0.1"], "epochs": ["3"], "schedule": ["step"], "name": ["x"]}
    assert cli.train_cifar(["--table1", f"--{name}", *values.get(name, [])]) == 2
    word = "schedule" if name == "no-step-decay" else name
    assert f"leave --{word} out" in capsys.readouterr().err


def test_a_table_takes_all_other_settings(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--table1", "--seed", "3", "--out", str(tmp_path), "--overwrite"]
    assert cli.train_cifar(line) == 0
    assert asked == [({"data": "cifar10", "seed": 3}, "table1", tmp_path, True, [3])]
    assert capsys.readouterr().out == "the table\n"
    assert cli.train_cifar(["--table1", "--seeds", "2", "1", "--out", str(tmp_path)]) == 0
    assert asked[1:] == [({"data": "cifar10"}, "table1", tmp_path, False, [2, 1])]


def test_the_weights_of_table3_can_be_files(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "conv.npz", ["--out", str(tmp_path)]
    file.write_text("")
    assert cli.train_eurosat(["--table3", "--weights-alexnet", str(file), *out]) == 0
    assert asked == [{"alexnet": str(file)}]
    assert cli.train_eurosat(["--weights-alexnet", str(file), *out]) == 2
    assert cli.train_eurosat(["--table3", "--weights-alexnet", "none.npz", *out]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train_eurosat.py: --weights-alexnet is of --table3: name --weights instead"
    assert "--weights is 'none.npz': it must be none, imagenet or a readable file" in lines[1]
    assert len(asked) == 1


def test_several_seeds_are_runs_of_their_own(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--lr", "0.1", "--seeds", "4", "2", "--out", str(tmp_path)]
    assert cli.train_cifar(line) == 0
    assert asked == [(Config(lr=0.1), [4, 2], tmp_path, False)]
    assert capsys.readouterr().out == "table of 2\nruns: run4, run2\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--seeds 1 2 --seed 3", "--seeds makes a run for each seed: leave --seed out"),
        ("--seeds 1 2 --name x", "--seeds makes a run for each seed: leave --name out"),
        ("--seeds 1 2 1", "--seeds are [1, 2, 1]: each must be there once"),
        ("--seeds 1 -2", "--seed is -2: it must be a whole number from 0"),
        ("--seeds", "argument --seeds: expected at least one argument"),
        ("--table1 --recipe fast", "--recipe is 'fast': --table1 has it as study"),
    ],
)
def test_seeds_that_cannot_be(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.train_cifar(line.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("`lr` is 0"), 2, "train: --lr is 0"),
        (UsageError("add `overwrite=True` or `batch_size=3`"), 2, "add --overwrite or --batch-s"),
        (UsageError("`split_scheme=spatial`, `trainable`"), 2, "train: --split spatial, --train"),
        (UsageError("layer `conv1` is odd"), 2, "train: layer `conv1` is odd"),
        (RunError("no data"), 1, "train: no data"),
        (RunError("two\nlines \x1b[31m"), 1, "train: two lines [31m"),
        (OSError(28, "No space left on device", "a.csv"), 1, "a.csv: No space left on device"),
        (KeyError("x"), 1, "unexpected KeyError: 'x' (--debug shows where)"),
        (ModuleNotFoundError("No module named 'jax'"), 1, "'jax': install it with pip"),
        (KeyboardInterrupt(), 130, "interrupted; kept in runs/x"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    if code == 130:
        error.add_note("kept in runs/x")

    def fail(args: argparse.Namespace) -> None:
        raise error

    parser = training_parser()
    parser.set_defaults(command=fail)
    assert run_command(parser, []) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert line in err
    assert run_command(parser, ["--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epoch", "3"], "unknown argument --epoch: did you mean --epochs?"),
        (["train", "--learning", "3"], "unknown argument --learning (see tfmodels train --help)"),
        (["train", "extra"], "unknown argument extra (see"),
        (["fuse", "--metod", "sum"], "unknown argument --metod: did you mean --method?"),
        (["train", "--lr", "high"], "argument --lr: invalid float value: 'high' (see tfmodels"),
        (["train", "--lr", "nan"], "--lr is nan: it must be a number above 0"),
        (["train", "--model", "vgg16"], "--model is 'vgg16': it must be one of vgg, "),
        (["train", "--recipe", "none"], "--recipe is 'none': it must be one of study, instant"),
        (["train", "--data", "nowhere"], "or a folder of images"),
        (["train", "--train", "head"], "--train head needs pretrained weights: name --weights"),
        (["fuse", "--all-methods", "--name", "x"], "leave --name out"),
        (["report", "nowhere"], "nowhere is not a complete run directory"),
        (["verify", "long" * 99], "long/manifest.json: File name too long"),
        (["trian"], "invalid choice: 'trian'"),
        ([], "VERB"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"tfmodels {__version__}\n"


def test_help_names_every_setting_and_its_default() -> None:
    text = " ".join(training_parser(data="eurosat").format_help().split())
    for field in dataclasses.fields(Config):
        assert flag(field.name) in text
        if kind(field) in (int, float) and field.default is not None:
            assert f"[{field.default}]" in text
    assert "[eurosat]" in text


@pytest.mark.parametrize(
    ("script", "arguments", "code"),
    [
        ("train_cifar.py", "--help", 0),
        ("train_cifar.py", "--lr nan", 2),
        ("train_cifar.py", "--nonsense", 2),
        ("train_cifar.py", "--out /dev/null", 2),
        ("train_eurosat.py", "--help", 0),
        ("train_eurosat.py", "--image-size 31", 2),
        ("train_eurosat.py", "--train head", 2),
        ("train_eurosat.py", "--archive setup.cfg", 2),
        ("train_eurosat.py", "--table3 --model alexnet", 2),
        ("fuse.py", "--help", 0),
        ("tfmodels/__main__.py", "train --help", 0),
        ("tfmodels/__main__.py", "report nowhere", 2),
    ],
)
def test_help_and_wrong_arguments_answer_without_tensorflow(
    script: str, arguments: str, code: int
) -> None:
    # What takes long is the import, so its absence is the test of "at once".
    program = f"""
import runpy, sys
sys.argv = [{script!r}, *{arguments.split()!r}]
try:
    runpy.run_path({script!r}, run_name="__main__")
except SystemExit as exit:
    assert exit.code == {code}, exit.code
heavy = {{"tensorflow", "keras", "numpy", "matplotlib", "sklearn"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_report_never_replaces_other_files_of_a_run(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first, second = make_run("first", seed=1), make_run("second", seed=2)
    (second / "figures").mkdir()
    (tmp_path / "link").symlink_to(second)
    before = list(second.rglob("*"))
    monkeypatch.chdir(second)
    for runs, out in (
        ([first], second / "report.html"),
        ([second], second / "predictions.npz"),
        ([first, second], second / "new.html"),
        ([second], second / "figures" / "new.html"),
        ([second], tmp_path / "link" / "config.json"),
        ([first], "manifest.json"),
    ):
        assert cli.main(["report", *map(str, runs), "--out", str(out)]) == 2
        message = f"--out {out} is in a run directory: name a file elsewhere"
        assert message in capsys.readouterr().err
    assert cli.main(["report", str(first), str(second)]) == 2  # report.html here
    assert list(second.rglob("*")) == before
    for run in (second, "."):
        assert cli.main(["report", str(run)]) == 0
        (second / "report.html").unlink()
    assert cli.main(["report", str(first), "--out", str(tmp_path / "page.html")]) == 0


def test_verifying_says_what_it_found(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [str(make_run(name, seed=seed)) for seed, name in enumerate(("first", "second"))]
    assert cli.main(["fuse", *members, "--out", str(tmp_path), "--name", "fused"]) == 0
    capsys.readouterr()
    fused = tmp_path / "fused"
    assert cli.main(["verify", str(fused)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == str(fused)
    assert out[3] == "  predictions: those of the 2 members, fused"
    with (fused / "predictions.npz").open("ab") as file:
        file.write(b"x")
    assert cli.main(["verify", str(fused)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"tfmodels: {fused / 'predictions.npz'} doesn't match the manifest")
    assert error.count("\n") == 1


@pytest.mark.parametrize("verb", ["train", "fuse"])
@pytest.mark.parametrize("ending", ["", ".incomplete"])
def test_links_to_folders_of_others_are_refused_before_anything_is_done(
    make_run: Callable[..., Path], asked: list[Any], tmp_path: Path, verb: str, ending: str
) -> None:
    notes = tmp_path / "thesis" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("years of work")
    members = [str(make_run(name, seed=seed)) for seed, name in enumerate(("first", "second"))]
    line = [verb, *(members if verb == "fuse" else []), "--out", str(tmp_path), "--name", "x"]
    link = tmp_path / f"x{ending}"
    for target in (notes.parent, tmp_path / "nowhere"):
        link.symlink_to(target)
        assert cli.main(line) == cli.main([*line, "--overwrite"]) == 2
        link.unlink()
    assert not asked
    assert notes.read_text() == "years of work"
    assert not (tmp_path / "nowhere").exists()


def test_settings_of_table3_are_checked_with_its_recipe(asked: list[Any], tmp_path: Path) -> None:
    line = ["--table3", "--warmup-epochs", "2", "--out", str(tmp_path)]
    assert cli.train_eurosat(line) == 0
    assert cli.train_eurosat([*line, "--recipe", "study"]) == 2
