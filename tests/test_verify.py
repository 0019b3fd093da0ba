import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.conftest import change_arrays, change_json
from tests.toys import TOY_DATA, TOY_NETWORK, build
from tfmodels.config import Config
from tfmodels.data.catalog import DATASETS
from tfmodels.errors import RunError, UsageError
from tfmodels.evaluation import evaluate
from tfmodels.experiment import run
from tfmodels.fusion.combine import run_fusion
from tfmodels.fusion.members import load_members
from tfmodels.models.catalog import NETWORKS
from tfmodels.runs.contents import open_run
from tfmodels.runs.directory import RESULTS, TRAINED
from tfmodels.runs.manifest import write_manifest
from tfmodels.runs.predictions import save_images
from tfmodels.safe_files import read_json, write_json
from tfmodels.verify import verify

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of the toy network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "toy", TOY_NETWORK)
        patch.setitem(DATASETS, "toy", TOY_DATA)
        config = Config(data="toy", epochs=1, views="mirror")
        yield run(config, out=tmp_path_factory.mktemp("runs"), name="run")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(params=["toy", "mine"])
def either(copy: Path, request: pytest.FixtureRequest) -> Path:
    """The copy, and as a run of a model of one's own, which isn't built but loaded."""
    settings = open_run(copy).config["settings"]
    change_json(copy / "config.json", settings=settings | {"model": request.param})
    write_manifest(copy)
    return copy


@pytest.fixture
def fused(make_run: MakeRun, tmp_path: Path) -> Path:
    """A fusion of two runs."""
    members = load_members([make_run("first", seed=1), make_run("second", seed=2)])
    run_fusion(members, "sum", True, tmp_path / "fused")
    return tmp_path / "fused"


def assert_found(run: Path, message: str) -> None:
    with pytest.raises(RunError, match=message):
        list(verify(run))


def seal(run: Path) -> None:
    """Make metrics and manifest match the predictions, as one who forged these would."""
    opened = open_run(run)
    with np.load(run / "predictions.npz") as saved:
        metrics = {
            split: evaluate(
                saved[f"{split}_labels"],
                saved[f"{split}_probabilities"],
                opened.config["dataset"]["class_names"],
            )
            for split in ("val", "test")
        }
    write_json(run / "metrics.json", metrics)
    write_manifest(run)


def test_a_run_is_what_it_says(either: Path) -> None:
    files, metrics, predictions = verify(either)
    assert files == f"files: {len(RESULTS) + len(TRAINED) + 3} match the manifest"  # logs, marker
    assert metrics == "metrics: match the predictions of val, test"
    assert predictions.startswith("predictions: model.keras gives the same for the 30 test images")


def test_a_fusion_is_what_it_says(fused: Path) -> None:
    files, metrics, predictions = verify(fused)
    assert files == f"files: {len(RESULTS) + 2} match the manifest"
    assert metrics.startswith("metrics: match the predictions of ")
    assert predictions == "predictions: those of the 2 members, fused"


def test_what_is_no_complete_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a complete run directory"):
        list(verify(tmp_path))


def test_every_file_is_compared_with_the_manifest(copy: Path) -> None:
    files = [file for file in copy.rglob("*") if file.is_file() and file.name != "manifest.json"]
    assert len(files) > 14
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert_found(copy, f"{file.name} doesn't match the manifest")
        file.write_bytes(content)
    list(verify(copy))


def test_files_beside_those_of_the_run_are_told(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    assert next(verify(copy)).endswith(" match the manifest; not part of the run: notes.txt")


def test_forged_metrics_are_found(copy: Path) -> None:
    forged = copy
    metrics = read_json(forged / "metrics.json", dict[str, Any])
    lies: dict[str, Any] = {
        "accuracy": 0.99,
        "mean_class_accuracy": 2.0,
        "confusion_matrix": [[10, 0, 0], [0, 10, 0], [0, 0, 10]],
        "most_confused": ["red confused with blue: 1000"],
        "per_class": {"red": metrics["test"]["per_class"]["red"]},
    }
    for key, lie in lies.items():
        write_json(forged / "metrics.json", {**metrics, "test": metrics["test"] | {key: lie}})
        write_manifest(forged)
        assert_found(forged, rf"metrics\.json doesn't match the predictions: {key} in test")
    write_json(forged / "metrics.json", {"test": metrics["test"]})
    write_manifest(forged)
    assert_found(forged, r"metrics\.json has metrics of test, not of val, test")


def test_forged_predictions_are_found(either: Path) -> None:
    forged = either
    test = open_run(forged).predictions()["test"]
    perfect = np.eye(3, dtype="float32")[test.labels]
    change_arrays(forged / "predictions.npz", test_probabilities=perfect)
    seal(forged)
    assert_found(forged, r"mistakes\.npz has others than the misclassified images")
    save_images(forged / "mistakes.npz", np.array([], str), [])
    seal(forged)
    assert_found(forged, r"predictions\.npz doesn't match model\.keras: probabilities differ by up")
    save_images(forged / "sample.npz", np.array([], str), [])  # so that nothing can be compared
    seal(forged)
    assert_found(forged, r"sample\.npz has images that aren't of the test split")


def test_a_network_of_another_run_is_found(either: Path) -> None:
    changed = either
    keras.utils.set_random_seed(5)
    build((8, 8, 3), 3, 8).save(changed / "model.keras")
    write_manifest(changed)
    assert_found(changed, r"predictions\.npz doesn't match model\.keras: probabilities differ")


def test_what_is_no_network_for_the_images_is_named(either: Path) -> None:
    changed = either
    networks: tuple[keras.Model | bytes, ...] = (
        b"",
        (changed / "model.keras").read_bytes()[:-100],
        build((8, 8, 3), 4, 8),
        keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="logits")]),
    )
    for network in networks:
        if isinstance(network, bytes):
            (changed / "model.keras").write_bytes(network)
        else:
            network.save(changed / "model.keras")
        write_manifest(changed)
        assert_found(changed, r"model\.keras")
    (changed / "model.keras").unlink()
    write_manifest(changed)
    assert_found(changed, r"manifest\.json doesn't name model\.keras")


def test_forged_claims_about_the_network_are_found(copy: Path) -> None:
    forged = copy
    config = read_json(forged / "config.json", dict[str, Any])
    change_json(forged / "config.json", model=config["model"] | {"parameters": 7})
    write_manifest(forged)
    assert_found(forged, r"model\.keras has [\d,]+ parameters, not 7")
    change_json(forged / "config.json", settings=config["settings"] | {"image_size": 10**9})
    write_manifest(forged)
    assert_found(forged, "`image_size` is 1000000000")


def test_code_in_a_network_is_not_executed(copy: Path, tmp_path: Path) -> None:
    forged, name = copy, str(tmp_path / "owned")
    change_json(forged / "config.json", settings={"model": "mine"})
    layer = keras.layers.Lambda(lambda x: (Path(name).write_text(""), x)[1])
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, layer(inputs)).save(forged / "model.keras")
    (tmp_path / "owned").unlink(missing_ok=True)
    write_manifest(forged)
    assert_found(forged, r"model\.keras can't be used")
    assert not (tmp_path / "owned").exists()


def test_a_changed_member_of_a_fusion_is_found(fused: Path, tmp_path: Path) -> None:
    changed = tmp_path / "second"
    labels = open_run(changed).predictions()["test"].labels
    perfect = np.eye(3, dtype="float32")[labels]
    change_arrays(changed / "predictions.npz", test_probabilities=perfect)
    assert_found(fused, r"second/predictions\.npz doesn't match the manifest")
    write_manifest(changed)
    assert_found(fused, "second has other predictions than those that were fused")
    shutil.rmtree(changed)
    assert_found(fused, "second is not a complete run directory")


def test_a_forged_fusion_is_found(fused: Path) -> None:
    forged = fused
    test = open_run(forged).predictions()["test"]
    other = np.roll(test.probabilities, 1, axis=1)
    change_arrays(forged / "predictions.npz", test_probabilities=other)
    seal(forged)
    assert_found(forged, r"predictions\.npz doesn't match the fused members in test")
    change_arrays(
        forged / "predictions.npz",
        test_probabilities=test.probabilities[::-1],
        test_labels=test.labels[::-1],
        test_ids=test.ids[::-1],
    )
    seal(forged)
    assert_found(forged, r"predictions\.npz has other images than the members in test")


def test_a_forged_comparison_is_found(fused: Path) -> None:
    forged = fused
    comparison = read_json(forged / "fusion.json", dict[str, Any])
    lies: dict[str, Any] = {
        "rival": "second" if comparison["rival"] == "first" else "first",
        "metrics": comparison["metrics"] | {"first": comparison["metrics"]["oracle"]},
        "intervals": comparison["intervals"] | {"fusion": comparison["intervals"]["oracle"]},
        "differences": {
            "fusion": comparison["differences"]["fusion"] | {"in_words": "a significant gain"}
        },
    }
    for key, lie in lies.items():
        write_json(forged / "fusion.json", comparison | {key: lie})
        write_manifest(forged)
        assert_found(forged, rf"fusion\.json doesn't match the predictions: {key}")
    write_json(forged / "fusion.json", comparison)
    settings = open_run(forged).config["settings"]
    for method, message in (("vote", "doesn't match the fused members"), ("magic", "no method")):
        change_json(forged / "config.json", settings=settings | {"method": method})
        write_manifest(forged)
        assert_found(forged, message)
