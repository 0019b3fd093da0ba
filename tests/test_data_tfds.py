import errno
import hashlib
import inspect
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_datasets.core.download import downloader

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


def test_the_number_of_download_tries_is_still_where_we_set_it() -> None:
    assert isinstance(downloader.MAX_RETRIES, int)
    assert "MAX_RETRIES" in inspect.getsource(downloader._open_with_requests)
