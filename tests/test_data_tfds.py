import errno
import hashlib
import inspect
import io
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_datasets.core.download import downloader

from tests.hostile import DAMAGES, HOSTILE, damage, peak_growth, ran
from tfmodels.data import sample
from tfmodels.data import tfds as data_tfds
from tfmodels.data.images import ImageData, load_data
from tfmodels.errors import RunError
from tfmodels.recipes import configure


@pytest.fixture
def copied(sample_dir: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the prepared sample that may be damaged, and its training shard."""
    drawn = sample.SAMPLE
    shutil.copytree(sample_dir / drawn.name, tmp_path / drawn.name)
    (shard,) = (tmp_path / drawn.name / drawn.version).glob("*train.tfrecord*")
    return tmp_path, shard


def load(folder: Path) -> ImageData:
    return load_data(configure(data="sample", data_dir=str(folder)))


def test_a_copy_is_not_decoded_again(
    sample_data: ImageData, copied: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_tfds, "Examples", None)  # decoding would fail
    assert load(copied[0]).checksum == sample_data.checksum


def test_a_truncated_shard_is_found_before_training(copied: tuple[Path, Path]) -> None:
    folder, shard = copied
    os.truncate(shard, shard.stat().st_size // 2)
    message = "is damaged .*truncated record .*delete the data set .*name another .* `data_dir`"
    with pytest.raises(RunError, match=message):
        load(folder)


def test_a_shard_with_a_flipped_bit_is_found_though_it_was_decoded_before(
    copied: tuple[Path, Path],
) -> None:
    folder, shard = copied
    load(folder)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(RunError, match="is damaged"):
        load(folder)


def test_a_shard_cut_between_two_examples_is_found_too(copied: tuple[Path, Path]) -> None:
    folder, shard = copied
    records = list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in records[:-7]:
            writer.write(record)
    with pytest.raises(RunError, match="is damaged"):
        load(folder)


def test_a_missing_shard_and_broken_metadata_are_named(copied: tuple[Path, Path]) -> None:
    folder, shard = copied
    shard.unlink()
    with pytest.raises(RunError, match=str(folder)):
        load(folder)
    (shard.parent / "dataset_info.json").write_text("{")
    with pytest.raises(RunError, match=str(folder)):
        load(folder)


def test_a_shard_without_permission_is_not_called_damaged(
    copied: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read anything, so the system's answer is replaced, not the file's mode."""

    def denied(file: Any, *args: Any) -> None:
        raise PermissionError(errno.EACCES, "permission denied", file.name)

    monkeypatch.setattr(hashlib, "file_digest", denied)
    with pytest.raises(PermissionError) as caught:
        load(copied[0])
    assert caught.value.filename.startswith(str(copied[0]))


def tiny(
    shapes: Mapping[str, sample.Mask] = sample.SHAPES, train: int = 200, test: int = 20
) -> sample.Sample:
    sizes = {"train": train, "test": test}
    return sample.Sample("tfmodels_tiny", "1.0.0", "id", 8, sizes, shapes)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two tiny data sets that a sample stands for, with other images and names of classes."""
    folders = tmp_path_factory.mktemp("tiny"), tmp_path_factory.mktemp("other")
    sample.prepare(tiny(), folders[0])
    sample.prepare(tiny(dict(reversed(sample.SHAPES.items())), 210, 30), folders[1])
    return folders


@pytest.fixture
def folder(prepared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny data set, which takes the place of the sample."""
    monkeypatch.setattr(sample, "SAMPLE", tiny())
    shutil.copytree(prepared[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "tfmodels_tiny" / "1.0.0"


def contents(data: ImageData) -> list[Any]:
    """Return all that results depend on."""
    splits = [[s.ids.tolist(), s.labels.tolist()] for s in (data.train, data.val, data.test)]
    return [data.checksum, data.class_names, data.version, data.image_shape, *splits]


def refused(folder: Path) -> str:
    """Return the one line that says what is wrong with a prepared data set."""
    with pytest.raises(RunError, match=f"^{folder}.* is damaged .*: delete the data set") as caught:
        load(folder.parents[1])
    assert str(caught.value).isprintable()
    return str(caught.value)


FILES = ["dataset_info.json", "features.json", "label.labels.txt", "train", "test"]


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_never_gives_other_results(
    folder: Path, prepared: tuple[Path, Path], name: str, kind: str, tmp_path: Path
) -> None:
    expected = contents(load(prepared[0]))
    pattern = f"*{name}.tfrecord*" if name in ("train", "test") else name
    (path,) = folder.glob(pattern)
    (theirs,) = (prepared[1] / "tfmodels_tiny" / "1.0.0").glob(pattern)
    content = path.read_bytes()
    for rng in map(np.random.default_rng, range(5 if path.suffix == ".json" else 1)):
        shutil.copy(theirs, tmp_path / "other")
        damage(path, kind, rng, tmp_path / "other")
        try:
            assert contents(load(folder.parents[1])) == expected  # a flipped byte of a description
        except RunError:
            refused(folder)
        else:
            assert kind in ("flip", "swap")
            assert path.suffix == ".json"
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["json_deep", "json_number", "json_sparse", "text_binary"])
@pytest.mark.parametrize("name", FILES[:3])
def test_a_hostile_description_is_named(folder: Path, name: str, kind: str) -> None:
    (folder / name).unlink()
    HOSTILE[kind](folder / name)
    assert peak_growth(lambda: refused(folder)) < 2**25


def test_features_import_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "features.json"
    good = json.loads(path.read_text())
    monkeypatch.syspath_prepend(folder)
    HOSTILE["features_json"](path)
    evil = json.loads(path.read_text())
    name = evil["pythonClassName"]
    legacy = {"type": name, "content": {}}
    features = good["featuresDict"]["features"]
    nested = good | {"featuresDict": {"features": features | {"label": evil}}}
    for content in (
        evil,
        legacy,
        nested,
        {"type": good["pythonClassName"], "content": {"label": legacy}},
        good | {"featuresDict": None, "jsonFeature": {"json": json.dumps({"label": legacy})}},
        {"python_class_name": name, "text": {}},
    ):
        path.write_text(json.dumps(content))
        assert f"features.json wants to import '{name}': refused" in refused(folder)
    assert not ran(path).exists()


def test_sizes_that_only_are_claimed_take_no_memory(folder: Path) -> None:
    path = folder / "features.json"
    text = path.read_text()
    for claim in (text.replace('"8"', '"100000"'), text.replace('"10"', '"1000000000"')):
        assert claim != text
        path.write_text(claim)
        assert peak_growth(lambda: refused(folder)) < 2**25
    path.write_text(text)
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace('"200"', '"200000000000"'))
    assert "its splits have the sizes {'train': 200000000000, 'test': 20}" in refused(folder)


def write_examples(folder: Path, **features: Any) -> None:
    """Write a test split whose examples have other features, with its size in the description."""
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    (path,) = folder.glob("*test.tfrecord*")
    size = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(20):
            values = {"id": b"test_%05d" % index, "image": png.getvalue(), "label": 0} | features
            feature = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                if isinstance(value, int)
                else tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in values.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
            size += example.ByteSize()
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][1]["numBytes"] = str(size)
    (folder / "dataset_info.json").write_text(json.dumps(info))


def content(kind: str, folder: Path) -> bytes:
    """Return what a hostile file holds."""
    path = folder.parent / kind
    HOSTILE[kind](path)
    return path.read_bytes()


def test_hostile_examples_are_named(folder: Path) -> None:
    write_examples(folder)
    load(folder.parents[1])  # which are as they should be
    cases: dict[str, dict[str, Any]] = {
        "can't be read: Image size (3600000000 pixels)": {"image": content("png_bomb", folder)},
        "can't be read: Image size (4290250000 pixels)": {"image": content("jpeg_bomb", folder)},
        "an image can't be read: cannot identify": {"image": content("gif_renamed", folder)},
        "labels from 10 to 10": {"label": 10},
        "ids occur more than once": {"id": b"same"},
        "can't decode byte": {"id": b"\xff"},
        "an example's name has 50,000 bytes": {"id": b"a" * 50_000},
        "a record of": {"image": bytes(10**5)},
    }
    said: list[str] = []
    for message, features in cases.items():
        write_examples(folder, **features)
        assert peak_growth(lambda: said.append(refused(folder))) < 2**25
        assert message in said[-1]
    (path,) = folder.glob("*test.tfrecord*")
    path.write_bytes((2**62).to_bytes(8, "little") + bytes(100))
    assert "a record of 4,611,686,018,427,387,904 bytes" in refused(folder)


def test_files_elsewhere_are_not_read(folder: Path, tmp_path: Path) -> None:
    info = json.loads((folder / "dataset_info.json").read_text())
    (path,) = folder.glob("*test.tfrecord*")
    path.rename(tmp_path / path.name)
    info["splits"][1]["filepathTemplate"] = "../../{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    assert "lies elsewhere" in refused(folder)


def test_a_folder_that_is_no_folder_is_named(folder: Path) -> None:
    shutil.rmtree(folder)
    HOSTILE["pipe"](folder)
    assert str(folder) in refused(folder)


def test_two_who_prepare_one_data_set_take_turns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: sample.prepare(tiny(), tmp_path), range(2)))
    said = capsys.readouterr().err
    assert said.count("drawing the sample data set") == 1
    assert "another process prepares tfmodels_tiny: waiting for it" in said


def test_the_number_of_download_tries_is_still_where_we_set_it() -> None:
    assert isinstance(downloader.MAX_RETRIES, int)
    assert "MAX_RETRIES" in inspect.getsource(downloader._open_with_requests)
