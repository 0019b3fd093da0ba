import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_with_keras_on_jax_the_gpus_are_not_tensorflows() -> None:
    pytest.importorskip("jax")
    code = (
        "tf = environment.import_quietly('tensorflow'); "
        "print(tf.config.get_visible_devices('GPU'), tf.config.get_visible_devices('CPU') != [])"
    )
    done = start(code, KERAS_BACKEND="jax")
    assert (done.stdout, done.stderr) == ("[] True\n", "")
