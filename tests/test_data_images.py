from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfmodels.data.augmentation import crop_and_flip, turn_shift_brighten
from tfmodels.data.images import Arrays, ImageData, Selected, Split, load_data
from tfmodels.errors import UsageError
from tfmodels.recipes import configure


def arrays(n: int, seed: int = 0, size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    return images, np.arange(n) % 2


def data(**changes: Any) -> ImageData:
    arguments = {
        "train": arrays(20), "val": arrays(6, 1), "test": arrays(8, 2), "class_names": ["a", "b"],
    }  # fmt: skip
    return ImageData.from_arrays(**(arguments | changes))


def test_selected_images_are_those_of_their_rows(tf_test: Any) -> None:
    images, labels = arrays(10)
    split = Split(images, np.arange(10).astype(str), labels).select(np.array([7, 2, 5]))
    assert isinstance(split.images, Selected)
    assert len(split) == 3
    assert split.ids.tolist() == ["7", "2", "5"]
    assert split.labels.tolist() == [1, 0, 1]
    tf_test.assertAllEqual(split.images[np.array([2, 0])], images[[5, 7]])
    again = split.select(np.array([1]))
    tf_test.assertAllEqual(again.images[np.array([0])], images[[2]])


def test_arrays_become_image_data(tf_test: Any) -> None:
    result = data()
    tf_test.assertAllEqual(result.val.images[np.arange(6)], arrays(6, 1)[0])
    assert result.test.labels.tolist() == [0, 1] * 4
    assert result.test.labels.dtype == np.int64
    assert result.train.ids.tolist()[::19] == ["train-00000", "train-00019"]
    assert result.class_names == ("a", "b")
    assert result.image_shape == (4, 4, 3)
    assert (result.name, result.augment) == ("arrays", crop_and_flip)
    other = data(name="mine", augment=turn_shift_brighten)
    assert (other.name, other.augment) == ("mine", turn_shift_brighten)


def test_the_checksum_is_of_images_and_ids() -> None:
    images, labels = arrays(20)
    assert data().checksum == data(train=(images.copy(), 1 - labels)).checksum
    assert data().checksum != data(train=(images, labels, np.arange(20).astype(str))).checksum
    images[19, 3, 3, 2] ^= 1
    assert data().checksum != data(train=(images, labels)).checksum


IMAGES, LABELS = arrays(4)


@pytest.mark.parametrize(
    ("val", "message"),
    [
        ((IMAGES,), r"`val` must be \(images, labels\)"),
        ((IMAGES / 255, LABELS), r"`val` has images \(4, 4, 4, 3\) float64: .* uint8"),
        ((IMAGES[..., 0], LABELS), r"`val` has images \(4, 4, 4\) uint8: .*height, width, 3"),
        ((IMAGES[:0], LABELS[:0]), r"`val` has images \(0, 4, 4, 3\)"),
        ((IMAGES[:, :3], LABELS), r"several shapes: train \(4, 4, 3\), val \(3, 4, 3\)"),
        ((IMAGES, LABELS[:3]), r"`val` has labels \(3,\) int64: they must be \(4,\)"),
        ((IMAGES, LABELS / 1), r"labels \(4,\) float64: .* integers"),
        ((IMAGES, LABELS * 2), "labels from 0 to 2: they must be from 0 to 1"),
        ((IMAGES, LABELS - 1), "labels from -1 to 0"),
        ((IMAGES, LABELS, np.arange(4)), r"ids \(4,\) int64: they must be \(4,\) of str"),
        ((IMAGES, LABELS, np.array(["x"] * 4)), "ids occur more than once: x"),
        ((IMAGES, LABELS, [f"train-0000{i}" for i in range(4)]), "more than once: train-00000, "),
    ],
)
def test_arrays_that_do_not_fit_are_refused(val: Arrays, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        data(val=val)


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", ""], "ab", [1, 2]])
def test_class_names_that_do_not_fit_are_refused(names: Any) -> None:
    with pytest.raises(UsageError, match="`class_names` is .* different names"):
        data(class_names=names)


def test_limit_takes_at_most_as_many_images_of_each_split_by_the_seed(tf_test: Any) -> None:
    whole = data()
    few = whole.limited(7, seed=0)
    assert (len(few.train), len(few.val), len(few.test)) == (7, 6, 7)
    for part in ("train", "val", "test"):
        before, after = getattr(whole, part), getattr(few, part)
        rows = np.flatnonzero(np.isin(before.ids, after.ids))
        assert after.ids.tolist() == before.ids[rows].tolist()  # order is kept
        tf_test.assertAllEqual(after.labels, before.labels[rows])
        tf_test.assertAllEqual(after.images[np.arange(len(rows))], before.images[rows])
    assert few.train.ids.tolist() == whole.limited(7, seed=0).train.ids.tolist()
    assert few.train.ids.tolist() != whole.limited(7, seed=1).train.ids.tolist()
    assert whole.limited(None, seed=0) is whole
    assert len(whole.limited(20, seed=0).train) == 20


def test_a_limit_beyond_the_training_split_is_refused(sample_dir: Path) -> None:
    config = configure(data="sample", data_dir=str(sample_dir), limit=4501)
    message = "`limit` is 4501: the training split of sample has 4500 images"
    with pytest.raises(UsageError, match=message):
        load_data(config)


def test_a_folder_can_have_the_name_of_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sample").mkdir()
    with pytest.raises(UsageError, match=f"{tmp_path}/sample holds 0 folders of classes"):
        ImageData.from_folder("sample")
