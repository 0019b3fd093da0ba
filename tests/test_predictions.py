import pickle

import numpy as np
import pytest

from tfmodels.errors import RunError
from tfmodels.predictions import Predictions, load_predictions, save_predictions


@pytest.fixture
def saved(tmp_path, random_probabilities):
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


def test_what_is_saved_is_loaded_bit_for_bit(saved):
    path, splits = saved
    loaded, class_names = load_predictions(path)
    assert class_names == ("a", "b", "c")
    assert list(loaded) == ["val", "test"]
    for name, split in splits.items():
        for field, value in vars(split).items():
            np.testing.assert_array_equal(getattr(loaded[name], field), value)
            assert getattr(loaded[name], field).dtype == value.dtype
    assert [file.name for file in path.parent.iterdir()] == ["predictions.npz"]


def test_the_file_needs_only_numpy_to_read(saved):
    with np.load(saved[0], allow_pickle=False) as arrays:
        assert sorted(arrays) == sorted(
            [f"{s}_{f}" for s in ("val", "test") for f in ("ids", "labels", "probabilities")]
            + ["class_names"]
        )
        assert arrays["test_probabilities"].shape == (7, 3)


def test_a_damaged_or_missing_file_is_named(saved, tmp_path):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RunError, match="predictions.npz can't be read"):
        load_predictions(path)
    with pytest.raises(RunError, match="none.npz can't be read"):
        load_predictions(tmp_path / "none.npz")


def test_a_pickle_is_never_run(tmp_path):
    class Attack:
        def __reduce__(self):
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
            load_predictions(path)
    assert not (tmp_path / "owned").exists()
