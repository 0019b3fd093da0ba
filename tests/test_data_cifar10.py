import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_data_eurosat import prepared_folder
from tfmodels.data import sample
from tfmodels.data.augmentation import crop_and_flip
from tfmodels.data.cifar10 import validation_rows
from tfmodels.data.images import ImageData, load_data
from tfmodels.errors import RunError
from tfmodels.recipes import configure


@pytest.mark.parametrize("percent", [10, 1])
@pytest.mark.parametrize("seed", range(5))
def test_whole_percents_validate(seed: int, percent: int) -> None:
    validates = validation_rows(5000, seed, percent)
    percents = validates.reshape(100, 50)
    assert (percents.all(axis=1) == percents.any(axis=1)).all()
    assert percents.all(axis=1).sum() == percent


def test_validation_images_follow_from_the_seed_as_ever() -> None:
    first = np.flatnonzero(validation_rows(100, seed=0, percent=10)).tolist()
    assert first == [1, 3, 7, 17, 25, 29, 47, 58, 77, 81]
    assert len({validation_rows(100, seed, 10).tobytes() for seed in range(20)}) == 20


def test_splits_of_the_sample(sample_dir: Path) -> None:
    def load(seed: int) -> ImageData:
        return load_data(configure(data="sample", data_dir=str(sample_dir), seed=seed))

    data = load(seed=0)
    assert (len(data.train), len(data.val), len(data.test)) == (4500, 500, 1000)
    assert data.class_names == tuple(sample.SHAPES)
    assert data.image_shape == (32, 32, 3)
    assert data.augment is crop_and_flip
    ids = [set(split.ids) for split in (data.train, data.val, data.test)]
    assert len(set.union(*ids)) == 6000
    assert load(seed=0).train.ids.tolist() == data.train.ids.tolist()
    other = load(seed=1)
    assert set(other.val.ids) != set(data.val.ids)
    assert other.test.ids.tolist() == data.test.ids.tolist()
    assert other.checksum == data.checksum


def test_the_seed_of_the_split_can_be_another(sample_dir: Path) -> None:
    def val(**seeds: Any) -> list[str]:
        found = load_data(configure(data="sample", data_dir=str(sample_dir), **seeds))
        return [str(name) for name in found.val.ids]

    assert val(seed=5, split_seed=1) == val(seed=1) != val(seed=5)
    assert val(seed=1, split_seed=0) == val(seed=0)


def test_data_that_cannot_be_downloaded_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy that refuses every connection: no network, on any machine.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with pytest.raises(RunError) as caught:
        load_data(configure(data="cifar10", data_dir=str(tmp_path)))
    message = str(caught.value)
    for words in (str(tmp_path), "`data_dir`", "`data=sample`", "network"):
        assert words in message
    assert not list(tmp_path.glob("cifar10/*"))


def sha256(values: np.ndarray) -> str:
    return hashlib.sha256("\n".join(values).encode()).hexdigest()


@pytest.mark.parametrize(
    ("seed", "train", "val", "pixels"),
    [
        (
            0,
            "3ca72cedc53600bf5ec1508793d22fc2586a347f2fa332426af6ca79155cf2e8",
            "7e64d820ccab447ee157b63a391b374b92d0ea5abbeb44d86900565622981db7",
            "72789236605e91419612e7878b81ca2664698e33595adb0ca30d6888b0f96fef",
        ),
        (
            7,
            "3575cd8f04b72c7fe1c3f152e69a1d0bb24ac7e23f60ab983e5e2f9331d6b589",
            "301f05f1ab8885d84c286de0f81e2cd114c45df17f46665d91f3a732661722ef",
            "a8930fe605c1c8de3916593e3ff9ec78a3c3ba6aa641798ded5d0b2550c9f19a",
        ),
    ],
)
def test_the_real_cifar10_is_split_as_in_commit_6caedc4(
    seed: int, train: str, val: str, pixels: str
) -> None:
    folder = prepared_folder("cifar10/3.0.2")
    data = load_data(configure(data="cifar10", data_dir=str(folder), seed=seed))
    assert (len(data.train), len(data.val), len(data.test)) == (45000, 5000, 10000)
    assert (sha256(data.train.ids), sha256(data.val.ids)) == (train, val)
    assert data.class_names[3] == "cat"
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert len({*data.train.ids, *data.val.ids, *data.test.ids}) == 60000
    digest = hashlib.sha256()
    for start in range(0, 5000, 500):
        digest.update(data.val.images[np.arange(start, start + 500)].data)
    assert digest.hexdigest() == pixels


def test_a_final_run_trains_on_nearly_all_of_the_real_training_images() -> None:
    folder = prepared_folder("cifar10/3.0.2")
    data = load_data(configure(data="cifar10", data_dir=str(folder), split_scheme="final"))
    assert (len(data.train), len(data.val), len(data.test)) == (49500, 500, 10000)
    assert np.bincount(data.val.labels).min() > 30
    assert len({*data.train.ids, *data.val.ids, *data.test.ids}) == 60000
    assert data.split_description.endswith(
        "; a hundredth of its train split, by the seed, validates"
    )
