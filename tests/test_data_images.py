import inspect
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfmodels.data import loading, sample
from tfmodels.errors import RunError, UsageError

DRAWN = sample.CIFAR_SAMPLE
REAL = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
SHARED = Path(__file__).parents[2] / "shared" / "tfds"


def percents(slices):
    """The set of percents that a TFDS slice expression names."""
    spans = re.findall(r"train\[(\d+)%:(\d+)%\]", slices)
    assert "+".join(f"train[{a}%:{b}%]" for a, b in spans) == slices
    listed = [percent for a, b in spans for percent in range(int(a), int(b))]
    assert len(set(listed)) == len(listed)
    return set(listed)


@pytest.mark.parametrize("seed", range(5))
def test_train_and_validation_are_disjoint_and_complete(seed):
    train, val = map(percents, loading.split_train(seed))
    assert len(val) == loading.VALIDATION_PERCENT
    assert not train & val
    assert train | val == set(range(100))


def test_the_split_follows_from_the_seed():
    assert loading.split_train(3) == loading.split_train(3)
    assert len({loading.split_train(seed) for seed in range(20)}) == 20


def test_splits_of_the_sample(sample_dir):
    data = loading.load_data("sample", sample_dir, seed=0)
    assert (len(data.train), len(data.val), len(data.test)) == (4500, 500, 1000)
    assert data.class_names == tuple(sample.SHAPES)
    ids = [set(split.ids) for split in (data.train, data.val, data.test)]
    assert len(set.union(*ids)) == 6000
    drawn = {key: e for split in DRAWN.sizes for key, e in sample.examples(DRAWN, split)}
    images, labels = next(iter(data.val.dataset.batch(500)))
    np.testing.assert_array_equal(labels, data.val.labels)
    for i in (0, 250, 499):
        np.testing.assert_array_equal(images[i], drawn[data.val.ids[i]]["image"])
        assert labels[i] == drawn[data.val.ids[i]]["label"]
    again = loading.load_data("sample", sample_dir, seed=0)
    np.testing.assert_array_equal(again.train.ids, data.train.ids)
    other = loading.load_data("sample", sample_dir, seed=1)
    assert set(other.val.ids) != set(data.val.ids)
    np.testing.assert_array_equal(other.test.ids, data.test.ids)


def test_limit_takes_the_first_training_examples_only(sample_dir, sample_data):
    whole = loading.load_data("sample", sample_dir, seed=0)
    np.testing.assert_array_equal(sample_data.train.ids, whole.train.ids[:320])
    np.testing.assert_array_equal(sample_data.val.ids, whole.val.ids)
    with pytest.raises(UsageError, match="--limit is 4501: .* has 4500 examples"):
        loading.load_data("sample", sample_dir, limit=4501)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(UsageError, match=r"'mnist' is unknown.*cifar10 or sample"):
        loading.load_data("mnist")


@pytest.fixture
def copied(sample_dir, tmp_path):
    """A copy of the prepared sample that may be damaged, and its training shard."""
    shutil.copytree(sample_dir / DRAWN.name, tmp_path / DRAWN.name)
    (shard,) = (tmp_path / DRAWN.name / DRAWN.version).glob("*train.tfrecord*")
    return tmp_path, shard


def test_a_truncated_shard_is_found_before_training(copied):
    folder, shard = copied
    os.truncate(shard, shard.stat().st_size // 2)
    with pytest.raises(RunError, match="is damaged .*truncated record .*delete the data set"):
        loading.load_data("sample", folder)


def test_a_shard_with_flipped_bits_is_found_before_training(copied):
    folder, shard = copied
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(RunError, match="is damaged"):
        loading.load_data("sample", folder)


def test_a_shard_cut_between_two_examples_is_found_too(copied):
    folder, shard = copied
    records = list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in records[:-7]:
            writer.write(record)
    with pytest.raises(RunError, match="is damaged"):
        loading.load_data("sample", folder)


def test_a_missing_shard_and_broken_metadata_are_named(copied):
    folder, shard = copied
    shard.unlink()
    with pytest.raises(RunError, match=str(folder)):
        loading.load_data("sample", folder)
    (shard.parent / "dataset_info.json").write_text("{")
    with pytest.raises(RunError, match=str(folder)):
        loading.load_data("sample", folder)


def test_data_that_cannot_be_downloaded_says_how_to_get_it(tmp_path, monkeypatch):
    # A proxy that refuses every connection: no network, on any machine.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with pytest.raises(RunError) as caught:
        loading.load_data("cifar10", tmp_path)
    message = str(caught.value)
    for words in (str(tmp_path), "--data-dir", "--data sample", "network"):
        assert words in message
    assert not list(tmp_path.glob("cifar10/*"))


def test_the_number_of_download_tries_is_still_where_we_set_it():
    assert isinstance(loading.downloader.MAX_RETRIES, int)
    assert "MAX_RETRIES" in inspect.getsource(loading.downloader._open_with_requests)


def test_a_shard_without_permission_is_not_called_damaged(copied, monkeypatch):
    # Root may read anything, so the system's answer is replaced, not the file's mode.
    def denied(*args, **kwargs):
        raise tf.errors.PermissionDeniedError(None, None, "denied")

    monkeypatch.setattr(loading.tfds, "as_numpy", denied)
    with pytest.raises(PermissionError) as caught:
        loading.load_data("sample", copied[0])
    assert caught.value.filename.startswith(str(copied[0]))


def test_the_real_cifar10():
    info = Path("cifar10") / "3.0.2" / "dataset_info.json"
    folder = next((folder for folder in (REAL, SHARED) if (folder / info).exists()), None)
    if folder is None:
        pytest.skip("CIFAR-10 is not prepared on this machine")
    data = loading.load_data("cifar10", folder, seed=0)
    assert (len(data.train), len(data.val), len(data.test)) == (45000, 5000, 10000)
    assert data.class_names[3] == "cat"
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert len({*data.train.ids, *data.val.ids, *data.test.ids}) == 60000
