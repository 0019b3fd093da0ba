import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT
from tfmodels import cli
from tfmodels.errors import RunError, UsageError
from tfmodels.config import CifarSettings, EurosatSettings


def test_flags_and_settings_have_the_same_defaults():
    args = cli.training_parser(cli.CIFAR).parse_args([])
    assert cli.settings_from(args, CifarSettings) == CifarSettings()


def test_every_flag_reaches_its_setting(tmp_path):
    line = f"""--lr 0.1 --epochs 2 --batch-size 3 --step-size 4 --gamma 0.5 --no-step-decay --seed 6
        --data sample --data-dir {tmp_path} --limit 7 --augment --deterministic"""
    args = cli.training_parser(cli.CIFAR).parse_args(line.split())
    assert cli.settings_from(args, CifarSettings) == CifarSettings(
        0.1, 2, 3, 4, 0.5, False, 6, "sample", str(tmp_path), 7, True, True
    )


def test_part_2_has_the_same_defaults_too():
    args = cli.training_parser(cli.EUROSAT).parse_args([])
    assert cli.settings_from(args, EurosatSettings) == EurosatSettings()


def test_every_flag_of_part_2_reaches_its_setting(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("x", "x")
    (tmp_path / "x.npz").write_text("")
    line = f"""--model alexnet-bvlc --weights {tmp_path}/x.npz --train head --image-size 99
        --split {tmp_path} --archive {tmp_path}/a.zip --data sample"""
    args = cli.training_parser(cli.EUROSAT).parse_args(line.split())
    assert cli.settings_from(args, EurosatSettings) == EurosatSettings(
        model="alexnet-bvlc",
        weights=f"{tmp_path}/x.npz",
        train="head",
        image_size=99,
        split=str(tmp_path),
        archive=f"{tmp_path}/a.zip",
        data="sample",
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--archive text", "--archive .*text is not a zip file"),
        ("--archive missing", "--archive .*missing is not a zip file"),
        ("--weights missing", "it must be none, imagenet or a readable file"),
        ("--split missing", "it must be one of random, spatial, google, or a folder"),
    ],
)
def test_files_that_cannot_be_right_are_refused(tmp_path, flags, message):
    (tmp_path / "text").write_text("text")
    name, value = flags.split()
    args = cli.training_parser(cli.EUROSAT).parse_args([name, str(tmp_path / value)])
    with pytest.raises(UsageError, match=message):
        cli.settings_from(args, EurosatSettings)


def test_a_data_dir_must_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("file", "missing"):
        args = cli.training_parser(cli.CIFAR).parse_args(["--data-dir", str(tmp_path / name)])
        with pytest.raises(UsageError, match=f"--data-dir .*{name} is not a readable folder"):
            cli.settings_from(args, CifarSettings)


def test_a_data_dir_must_be_readable(tmp_path, monkeypatch):
    # Root may read anything, so the system's answer is replaced, not the folder's mode.
    monkeypatch.setattr(cli.os, "access", lambda path, mode: False)
    args = cli.training_parser(cli.CIFAR).parse_args(["--data-dir", str(tmp_path)])
    with pytest.raises(UsageError, match="is not a readable folder"):
        cli.settings_from(args, CifarSettings)


@pytest.mark.parametrize("flags", ["--lr 0.1", "--epochs 3", "--no-step-decay", "--name x"])
def test_table1_refuses_what_it_sets_itself(flags):
    args = cli.training_parser(cli.CIFAR).parse_args(["--table1", *flags.split()])
    with pytest.raises(UsageError, match=f"leave {flags.split()[0]} out"):
        cli.check_table(args, cli.CIFAR)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("--lr is 0"), 2, "train_cifar.py: --lr is 0"),
        (RunError("no data"), 1, "train_cifar.py: no data"),
        (OSError(28, "No space left on device", "a.csv"), 1, "a.csv: No space left on device"),
        (KeyError("x"), 1, "unexpected KeyError: 'x' (--debug shows where)"),
        (KeyboardInterrupt(), 130, "interrupted; kept in runs/x"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(monkeypatch, capsys, error, code, line):
    if code == 130:
        error.add_note("kept in runs/x")

    def fail(args):
        raise error

    monkeypatch.setattr(sys, "argv", ["train_cifar.py"])
    assert cli.run_script(cli.training_parser(cli.CIFAR), fail) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert line in err
    monkeypatch.setattr(sys, "argv", ["train_cifar.py", "--debug"])
    assert cli.run_script(cli.training_parser(cli.CIFAR), fail) == code
    assert "Traceback" in capsys.readouterr().err


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
    ],
)
def test_help_and_wrong_arguments_answer_without_tensorflow(script, arguments, code):
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


def test_a_missing_package_is_named(monkeypatch, capsys):
    def fail(args):
        raise ModuleNotFoundError("No module named 'jax'")

    monkeypatch.setattr("sys.argv", ["train_cifar.py"])
    assert cli.run_script(cli.training_parser(cli.CIFAR), fail) == 1
    assert capsys.readouterr().err == (
        "train_cifar.py: No module named 'jax': install it with pip\n"
    )


def test_a_failed_quiet_import_shows_what_was_held_back(tmp_path):
    (tmp_path / "noisy.py").write_text("import os; os.write(2, b'noise'); import nothing_such")
    program = "from tfmodels import environment; environment.import_quietly('noisy')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "noise" in done.stderr
    assert "nothing_such" in done.stderr
