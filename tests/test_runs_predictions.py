import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import change_arrays
from tfmodels.errors import RunError
from tfmodels.runs.predictions import (
    Predictions,
    load_images,
    load_predictions,
    save_images,
    save_predictions,
)

MOST = 10_000  # bytes
Saved = tuple[Path, dict[str, Predictions]]


@pytest.fixture
def saved(tmp_path: Path, random_probabilities: Callable[[int, int], np.ndarray]) -> Saved:
    splits = {
        name: Predictions(
            np.array([f"{name}_{i}" for i in range(n)]),
            np.arange(n) % 3,
            random_probabilities(n, 3),
        )
        for name, n in (("val", 5), ("test", 7))
    }
    path = tmp_path / "predictions.npz"
    save_predictions(path, splits, ("a", "b", "c"))
    return path, splits


def test_what_is_saved_is_loaded_bit_for_bit(saved: Saved, tf_test: Any) -> None:
    path, splits = saved
    loaded, class_names = load_predictions(path, MOST)
    assert class_names == ("a", "b", "c")
    assert list(loaded) == ["val", "test"]
    for name, split in splits.items():
        for field, value in vars(split).items():
            tf_test.assertAllEqual(getattr(loaded[name], field), value)
            assert getattr(loaded[name], field).dtype == value.dtype
    assert [file.name for file in path.parent.iterdir()] == ["predictions.npz"]


def test_the_file_needs_only_numpy_to_read(saved: Saved) -> None:
    with np.load(saved[0], allow_pickle=False) as arrays:
        assert sorted(arrays) == sorted(
            [f"{s}_{f}" for s in ("val", "test") for f in ("ids", "labels", "probabilities")]
            + ["class_names"]
        )
        assert arrays["test_probabilities"].shape == (7, 3)


def test_a_damaged_or_missing_file_is_named(saved: Saved, tmp_path: Path) -> None:
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RunError, match="predictions.npz can't be read"):
        load_predictions(path, MOST)
    with pytest.raises(RunError, match="none.npz is missing"):
        load_predictions(tmp_path / "none.npz", MOST)


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "owned"), "w"))

    for name, content in (
        ("plain.npz", pickle.dumps(Attack())),
        ("array.npz", None),
    ):
        path = tmp_path / name
        if content is None:
            np.savez(path, test_ids=np.array([Attack()], dtype=object))
        else:
            path.write_bytes(content)
        with pytest.raises(RunError):
            load_predictions(path, MOST)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"test_probabilities": np.full((7, 3), np.nan, "float32")},
            "in test probabilities aren't",
        ),
        ({"test_probabilities": np.full((7, 3), 0.3, "float32")}, r"sum to 1 within 0\.001"),
        ({"test_probabilities": np.tile([1.5, -0.5, 0], (7, 1))}, "are negative, such as those of"),
        ({"test_probabilities": np.full((7, 2), 0.5)}, r"shape \(7, 2\), for 3 classes"),
        ({"test_labels": np.arange(7)}, "labels aren't whole numbers from 0 to 2"),
        ({"test_labels": np.zeros(6, int)}, r"7 ids, labels \(6,\), 7 predictions"),
        ({"val_ids": np.array(["a"] * 5)}, "in val an id occurs twice"),
        ({"val_ids": np.arange(5)}, r"the ids have type int64 and shape \(5,\)"),
        ({"test_labels": np.zeros((7, 1), int)}, r"7 ids, labels \(7, 1\), 7 predictions"),
        ({"test_labels": np.array(1)}, r"7 ids, labels \(\), 7 predictions"),
        ({"test_labels": np.zeros(7, "uint64")}, "labels aren't whole numbers"),
        ({"test_probabilities": np.full((7, 3), "a")}, "the probabilities have type <U1"),
        ({"test_probabilities": np.array(0.5)}, r"the probabilities have shape \(\), for 3"),
        ({"val_ids": np.array("a")}, r"the ids have type <U1 and shape \(\)"),
        ({"class_names": np.array(["a", "b", "c"])[None]}, r"type <U1 and shape \(1, 3\)"),
        ({"class_names": np.array("abc")}, r"the class names have type <U3 and shape \(\)"),
        ({"class_names": np.array(["a", "b", "a"])}, "a class name occurs twice"),
    ],
)
def test_what_does_not_hold_probabilities_is_refused(
    saved: Saved, change: dict[str, np.ndarray], words: str
) -> None:
    path, _ = saved
    change_arrays(path, **change)
    with pytest.raises(RunError, match=words):
        load_predictions(path, MOST)


def test_without_test_images_it_is_refused(saved: Saved) -> None:
    path, splits = saved
    save_predictions(path, {"val": splits["val"]}, ("a", "b", "c"))
    with pytest.raises(RunError, match="it has no test images; train again"):
        load_predictions(path, MOST)


def test_images_of_mistakes_are_saved_by_id(tmp_path: Path, tf_test: Any) -> None:
    images = [np.full((2, 3, 3), i, np.uint8) for i in (7, 8)]
    save_images(tmp_path / "mistakes.npz", np.array(["a", "b"]), images)
    loaded = load_images(tmp_path / "mistakes.npz", MOST)
    assert list(loaded) == ["a", "b"]
    tf_test.assertAllEqual(loaded["b"], images[1])
    save_images(tmp_path / "mistakes.npz", np.array([], str), [])
    assert load_images(tmp_path / "mistakes.npz", MOST) == {}
    image = np.zeros((1, 2, 3, 3), np.uint8)
    for ids, found, words in (
        (["a"], np.zeros((1, 4)), r"type float64 and shape \(1, 4\)"),
        (["a"], image[..., :1], r"shape \(1, 2, 3, 1\)"),
        (["a", "b"], image, "shorter"),
        ("a", image, "can't be read as images"),
    ):
        np.savez(tmp_path / "mistakes.npz", ids=np.array(ids), images=found)
        with pytest.raises(RunError, match=words):
            load_images(tmp_path / "mistakes.npz", MOST)
    (tmp_path / "mistakes.npz").write_bytes(b"no")
    with pytest.raises(RunError, match=r"mistakes\.npz can't be read"):
        load_images(tmp_path / "mistakes.npz", MOST)
