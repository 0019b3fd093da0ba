import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from tests.conftest import ROOT
from tfmodels.runs import environment


def git(*args: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", *identity, *args], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like this package's, as the current folder; gives its module."""
    module = tmp_path / "tfmodels" / "runs" / "environment.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "__file__", str(module))
    return module


def test_the_commit_is_gits_and_says_when_files_changed(package: Path) -> None:
    git("init", "-q")
    assert environment.git_commit() is None  # nothing is committed
    git("add", ".")
    git("commit", "-qm", "first")
    git("tag", "-am", "a tag doesn't hide the hash", "v1")
    assert environment.git_commit() == git("rev-parse", "--short", "HEAD")
    package.write_text("changed")
    assert environment.git_commit() == git("rev-parse", "--short", "HEAD") + "-dirty"


def test_a_repository_around_an_installed_package_is_not_its_own(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.git_commit() is None  # no repository
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (tmp_path / "tfmodels").rename(installed / "tfmodels")
    monkeypatch.setattr(environment, "__file__", str(installed / package.relative_to(tmp_path)))
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    assert environment.git_commit() is None
    monkeypatch.setenv("PATH", "")  # no git
    assert environment.git_commit() is None


def test_versions_are_those_of_the_packages() -> None:
    found = environment.versions("pip")
    assert {"python", "keras", "tensorflow", "numpy", "pip"} <= found.keys()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_hardware_is_described_on_systems_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment.hardware()
    assert found["cores"] >= 1
    assert found["memory_gib"] > 0
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(Path, "exists", lambda path: False)
    found = environment.hardware()
    assert found["memory_gib"] is None
    assert found["cores"] == os.cpu_count()
    assert isinstance(found["processor"], str)


def start(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", f"from tfmodels.runs import environment; {code}"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_failed_quiet_import_shows_the_log_it_kept_back(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text("import os; os.write(2, b'noise'); import nothing_such")
    done = start("environment.import_quietly('noisy')", PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    assert "noise" in done.stderr
    assert "nothing_such" in done.stderr


class Config:
    """In place of `tf.config`: remembers what is made visible."""

    def __init__(self, started: bool) -> None:
        self.started = started
        self.calls: list[tuple[list[str], str]] = []

    def set_visible_devices(self, devices: list[str], kind: str) -> None:
        self.calls.append((devices, kind))
        if self.started:
            raise RuntimeError("Visible devices cannot be modified after being initialized")


@pytest.mark.parametrize(
    ("backend", "started", "calls", "warning"),
    [
        ("tensorflow", False, [], ""),
        ("jax", False, [([], "GPU")], ""),
        ("jax", True, [([], "GPU")], "warning: TensorFlow has started already .* from jax: "),
    ],
)
def test_gpus_are_hidden_from_tensorflow_where_keras_runs_on_another_backend(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    backend: str,
    started: bool,
    calls: list[tuple[list[str], str]],
    warning: str,
) -> None:
    config = Config(started)
    monkeypatch.setattr(tf, "config", config)
    monkeypatch.setattr(keras.config, "backend", lambda: backend)
    hide = functools.cache(environment.hide_gpus_from_tensorflow.__wrapped__)
    hide()
    hide()  # it does so, and warns, once
    assert config.calls == calls
    errors = capsys.readouterr().err
    assert re.match(warning, errors)
    assert errors.count("\n") == bool(warning)


def test_a_quiet_import_hides_the_gpus_and_shows_the_warning() -> None:
    pytest.importorskip("jax")
    code = (
        "import keras, tensorflow as tf; "
        "from unittest import mock; "
        "error = mock.patch.object(tf.config, 'set_visible_devices', side_effect=RuntimeError); "
        "error.start(); environment.import_quietly('tfmodels.experiment')"
    )
    done = start(code, KERAS_BACKEND="jax", TF_CPP_MIN_LOG_LEVEL="3")
    assert done.returncode == 0
    assert "warning: TensorFlow has started already" in done.stderr
