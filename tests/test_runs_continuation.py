import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import change_json
from tfmodels.config import Config
from tfmodels.errors import RunError, UsageError
from tfmodels.runs.contents import open_run, open_unfinished
from tfmodels.runs.continuation import (
    DECIDING,
    NOT_COMPARED,
    begin_extension,
    check_same,
    check_settings,
    previous_run,
)
from tfmodels.runs.directory import STATE, has_state, incomplete
from tfmodels.runs.lock import locked
from tfmodels.runs.manifest import write_manifest
from tfmodels.safe_files import read_json

SETTINGS = dataclasses.asdict(Config())
OTHERWISE = "choose another `name`, or add `overwrite=True` to start over"
MakeRun = Callable[..., Path]


@pytest.fixture
def complete(make_run: MakeRun) -> Path:
    """A complete run with all settings, and what else it goes on from."""
    run = make_run("run")
    versions = dict.fromkeys((*DECIDING, "scipy"), "1.0")
    change_json(run / "config.json", settings=SETTINGS, backend="tensorflow", versions=versions)
    for name in (
        "model.keras",
        "best.keras",
        "tensorboard/train/events.out.tfevents.1",
        "figures/reliability.png",
        STATE,
    ):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(f"content of {name}")
    write_manifest(run)
    return run


@pytest.fixture
def path(complete: Path) -> Path:
    """The path of a run that was interrupted."""
    complete.rename(incomplete(complete))
    for name in ("manifest.json", "predictions.npz", "mistakes.npz", "metrics.json"):
        (incomplete(complete) / name).unlink()
    return complete


def description(run: Path) -> dict[str, Any]:
    """What config.json would hold if the training of a run began now."""
    return read_json(run / "config.json", dict[str, Any])


def test_where_nothing_is_a_training_begins(tmp_path: Path) -> None:
    assert previous_run(tmp_path / "run", overwrite=False) is None
    check_settings(tmp_path / "run", SETTINGS, overwrite=False)
    (tmp_path / "run").mkdir()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is not a complete run"):
            check_settings(tmp_path / "run", SETTINGS, overwrite)


def test_an_interrupted_training_goes_on_with_the_same_settings(path: Path) -> None:
    check_settings(path, SETTINGS, overwrite=False)
    previous = previous_run(path, overwrite=False)
    assert previous is not None
    assert (previous.path, previous.checksums) == (incomplete(path), None)
    check_same(previous, description(incomplete(path)))
    assert previous_run(path, overwrite=True) is None


def test_a_complete_run_is_left_alone(complete: Path) -> None:
    with pytest.raises(UsageError, match=f"run is complete: {OTHERWISE}"):
        check_settings(complete, SETTINGS, overwrite=False)
    check_settings(complete, SETTINGS, overwrite=True)
    check_settings(complete, SETTINGS | {"lr": 7.0}, overwrite=True)


def test_an_extension_that_was_interrupted_goes_on_as_an_extension(complete: Path) -> None:
    begun = incomplete(complete)
    begun.mkdir()
    (begun / ".tfmodels").touch()
    (begun / STATE).touch()
    longer = SETTINGS | {"epochs": 20}
    config = description(complete)
    (begun / "config.json").write_text((complete / "config.json").read_text())
    change_json(begun / "config.json", settings=config["settings"] | {"epochs": 20})
    check_settings(complete, longer, overwrite=False)
    with pytest.raises(UsageError, match="`epochs=20`, not 10, and can't be shortened"):
        check_settings(complete, SETTINGS, overwrite=False)


def test_every_other_setting_is_refused_and_named(path: Path) -> None:
    for key, value in SETTINGS.items():
        other = SETTINGS | {key: "other" if key != "epochs" else value}
        if key in NOT_COMPARED:
            check_settings(path, other, overwrite=False)
            continue
        with pytest.raises(UsageError) as caught:
            check_settings(path, other, overwrite=False)
        fault = f"{incomplete(path)} was made with `{key}={value}`, not other"
        assert str(caught.value) == f"{fault}: {OTHERWISE}"


def test_all_differences_are_named_at_once(path: Path) -> None:
    with pytest.raises(UsageError, match="with `lr=0.001`, not 0.1; `seed=0`, not 4: choose"):
        check_settings(path, SETTINGS | {"seed": 4, "lr": 0.1}, overwrite=False)


def test_a_setting_that_the_run_does_not_name_is_a_difference(path: Path) -> None:
    left = {key: value for key, value in SETTINGS.items() if key != "lr"}
    change_json(incomplete(path) / "config.json", settings=left)
    with pytest.raises(UsageError, match="`lr=None`, not 0.001"):
        check_settings(path, SETTINGS, overwrite=False)


@pytest.mark.parametrize(
    ("part", "key", "other", "words"),
    [
        ("dataset", "name", "cifar10", "name eurosat, not cifar10"),
        (
            "dataset",
            "class_names",
            ["Forest", "River", "Lake"],
            r"class names \['Highway'\], not \['Lake'\]",
        ),
        ("dataset", "image_shape", [4, 4, 1], r"image shape \[4, 4, 3\], not \[4, 4, 1\]"),
        ("dataset", "splits", {"train": 9}, "splits .*, not {'train': 9}"),
        ("dataset", "checksum", "1", "checksum 0, not 1"),
        ("dataset", "split_checksum", "1", "split checksum 0, not 1"),
        ("model", "parameters", 8, "parameters 7, not 8"),
        ("model", "initial_weights", "imagenet", "initial weights none, not imagenet"),
        *(("versions", name, "1.1", f"{name} 1.0, not 1.1") for name in DECIDING),
    ],
)
def test_other_data_networks_and_versions_are_refused_and_named(
    path: Path, part: str, key: str, other: object, words: str
) -> None:
    run, now = open_unfinished(incomplete(path)), description(incomplete(path))
    now[part] = now[part] | {key: other}
    with pytest.raises(UsageError, match=f"run.incomplete was made with {words}: {OTHERWISE}"):
        check_same(run, now)


def test_another_backend_is_refused(path: Path) -> None:
    run, now = open_unfinished(incomplete(path)), description(incomplete(path))
    with pytest.raises(UsageError, match="backend tensorflow, not jax"):
        check_same(run, now | {"backend": "jax"})


def test_what_decides_nothing_may_be_another(path: Path) -> None:
    run, now = open_unfinished(incomplete(path)), description(incomplete(path))
    others = {"hardware": {}, "git_commit": "1a2b3c4", "command": ["x"], "started": "later"}
    now["versions"] |= {"scipy": "9", "python": "9"}
    check_same(run, now | others)


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize(
    ("changes", "epochs", "words"),
    [
        ({}, 20, ""),
        ({"schedule": "constant"}, 11, ""),
        ({"trainable": "head", "early_stopping": 2}, 20, ""),
        ({}, 9, "can't be shortened"),
        ({"schedule": "cosine"}, 20, "`schedule=cosine` depends on them from the first one on"),
        ({"trainable": "head-then-all"}, 20, "`trainable=head-then-all` would have trained the"),
        ({"epochs": "ten"}, 20, "can't be shortened"),
    ],
)
def test_more_epochs_are_possible_where_nothing_before_depends_on_them(
    complete: Path, interrupted: bool, changes: dict[str, Any], epochs: int, words: str
) -> None:
    settings = SETTINGS | changes
    change_json(complete / "config.json", settings=settings)
    write_manifest(complete)
    if interrupted:
        complete.rename(incomplete(complete))
    longer = settings | {"epochs": epochs}
    if not words:
        check_settings(complete, longer, overwrite=False)
        return
    before = settings["epochs"]
    with pytest.raises(UsageError, match=f"`epochs={before}`, not {epochs}, and {words}"):
        check_settings(complete, longer, overwrite=False)


def test_a_run_that_another_process_trains_is_refused_at_once(path: Path) -> None:
    with (
        locked(path),
        pytest.raises(UsageError, match="run is being trained by process"),
    ):
        check_settings(path, SETTINGS, overwrite=False)


def test_an_extension_begins_with_what_the_run_left(complete: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    begin_extension(open_run(complete), work)
    copied = sorted(file.relative_to(work).as_posix() for file in work.rglob("*") if file.is_file())
    logs = "tensorboard/train/events.out.tfevents.1"
    assert copied == ["best.keras", "history.csv", "model.keras", STATE, logs]
    for name in copied:
        assert (work / name).read_bytes() == (complete / name).read_bytes()


@pytest.mark.parametrize("name", ["model.keras", "history.csv", STATE])
def test_an_extension_of_a_damaged_run_is_refused(complete: Path, name: str) -> None:
    (complete / name).write_text("x")
    work = incomplete(complete)
    work.mkdir()
    with pytest.raises(RunError, match=f"{name} doesn't match the manifest"):
        begin_extension(open_run(complete), work)
    assert not has_state(complete)  # so that it isn't taken for an interrupted training
