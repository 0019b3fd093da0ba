import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import checksums

from tfmodels.data import eurosat, sample
from tfmodels.errors import RunError, UsageError

CLASSES = ("Forest", "River")


def archive(members=()):
    """A EuroSAT.zip of four pictures, and further members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for i, name in enumerate(CLASSES):
            for number in (1, 2):
                picture = io.BytesIO()
                Image.new("RGB", (64, 64), (100 * i, 50 * number, 0)).save(picture, "JPEG")
                file.writestr(f"2750/{name}/{name}_{number}.jpg", picture.getvalue())
        for name in members:
            file.writestr(name, b"x")
    return content.getvalue()


@pytest.fixture
def hosts(loopback, monkeypatch):
    """EuroSAT's own host refuses connections, its mirror is the loopback server."""
    answers, url = loopback
    builder_class = tfds.builder_cls("eurosat")
    config = next(c for c in builder_class.BUILDER_CONFIGS if c.name == "rgb")
    monkeypatch.setattr(config, "download_url", "http://127.0.0.1:9/EuroSAT.zip")
    info = checksums.UrlInfo(
        size=tfds.core.utils.Size(len(archive())),
        checksum=hashlib.sha256(archive()).hexdigest(),
        filename="EuroSAT.zip",
    )
    monkeypatch.setattr(
        builder_class, "url_infos", {"http://127.0.0.1:9/EuroSAT.zip": info}, raising=False
    )
    monkeypatch.setattr(eurosat, "MIRROR", f"{url}/EuroSAT.zip")
    monkeypatch.setattr(eurosat, "PICTURES", 4)
    return answers


def names(builder):
    return sorted(
        example["filename"].decode() for example in tfds.as_numpy(builder.as_dataset("train"))
    )


ALL = ["Forest_1.jpg", "Forest_2.jpg", "River_1.jpg", "River_2.jpg"]


def test_the_mirror_serves_when_the_source_refuses(hosts, tmp_path):
    hosts["/EuroSAT.zip"] = (200, len(archive()), archive())
    builder = eurosat.prepare(tmp_path)
    assert names(builder) == ALL
    assert builder.info.features["label"].names[8] == "River"
    again = tfds.builder("eurosat/rgb", data_dir=tmp_path)
    assert again.is_prepared()
    del hosts["/EuroSAT.zip"]
    assert names(eurosat.prepare(tmp_path)) == ALL


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((404, 0, b""), "404"),
        ((200, len(archive()), archive()[:-500]), "broken|broke off"),
        ((200, len(archive(["x"])), archive(["x"])), "has the checksum"),
    ],
    ids=["404", "truncated", "checksum"],
)
def test_when_all_fail_everything_tried_is_named_and_nothing_is_left(
    hosts, tmp_path, answer, cause
):
    hosts["/EuroSAT.zip"] = answer
    with pytest.raises(RunError, match=cause) as caught:
        eurosat.prepare(tmp_path)
    for words in ("TFDS' source (", eurosat.MIRROR, "--data-dir", "--archive", str(tmp_path)):
        assert words in str(caught.value)
    assert not tfds.builder("eurosat/rgb", data_dir=tmp_path).is_prepared()
    assert not list(tmp_path.rglob("*.tfrecord*"))


def test_an_archive_the_user_has(hosts, tmp_path):
    (tmp_path / "mine.zip").write_bytes(archive())
    builder = eurosat.prepare(tmp_path / "data", tmp_path / "mine.zip")
    assert names(builder) == ALL
    (example,) = (
        e for e in tfds.as_numpy(builder.as_dataset("train")) if e["filename"] == b"River_2.jpg"
    )
    assert example["label"] == 8
    np.testing.assert_allclose(example["image"].mean(axis=(0, 1)), (100, 100, 0), atol=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "can't be read as a zip file"),
        (archive()[:-500], "can't be read as a zip file"),
        (archive(["../../etc/evil.jpg"]), "leads out of a folder: refused"),
        (archive(["/etc/evil.jpg"]), "leads out of a folder: refused"),
        (archive().replace(b"\xff\xd9", b"\xff\xd8", 1), "has a wrong checksum"),
        (archive(["2750/River/River_3.jpg"]), "holds 5 pictures of EuroSAT, not 4"),
    ],
)
def test_an_archive_that_cannot_be_right_is_refused(hosts, tmp_path, content, message):
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        eurosat.prepare(tmp_path / "data", tmp_path / "bad.zip")
    assert not list((tmp_path / "data").rglob("*.tfrecord*"))


def test_the_sample_is_split_by_name_and_repeats(sample_dir, land_data):
    whole = eurosat.load_eurosat("sample", sample_dir, seed=0)
    assert (len(whole.train), len(whole.val), len(whole.test)) == (1280, 320, 400)
    assert len({*whole.train.ids, *whole.val.ids, *whole.test.ids}) == 2000
    np.testing.assert_array_equal(land_data.train.ids, whole.train.ids[:64])
    np.testing.assert_array_equal(land_data.test.ids, whole.test.ids)
    drawn = dict(sample.examples(sample.EUROSAT_SAMPLE, "train"))
    for split in (whole.train, whole.test):
        assert split.dataset.cardinality() == len(split)
        for id, (image, label) in zip(split.ids[:20], split.dataset, strict=False):
            np.testing.assert_array_equal(image, drawn[id]["image"])
            assert label == drawn[id]["label"]


def test_a_split_from_a_folder(sample_dir, tmp_path):
    names = [f"train_{i:05d}" for i in range(60)]
    parts = {"train": names[:40], "val": names[40:50], "test": names[50:]}
    for part, chosen in parts.items():
        (tmp_path / f"{part}.txt").write_text("\n".join(reversed(chosen)))
    data = eurosat.load_eurosat("sample", sample_dir, split=tmp_path)
    for part, chosen in parts.items():
        assert sorted(getattr(data, part).ids) == chosen
    with pytest.raises(UsageError, match="has 40 examples"):
        eurosat.load_eurosat("sample", sample_dir, split=tmp_path, limit=41)


def test_the_real_eurosat():
    folders = [os.environ.get("TFDS_DATA_DIR"), Path(__file__).parents[2] / "shared" / "tfds"]
    info = Path("eurosat") / "rgb" / "2.0.0" / "dataset_info.json"
    folder = next((f for f in folders if f and (Path(f) / info).exists()), None)
    if folder is None:
        pytest.skip("EuroSAT is not prepared on this machine")
    data = eurosat.load_eurosat(data_dir=folder, seed=0)
    assert (len(data.train), len(data.val), len(data.test)) == (17280, 4320, 5400)
    assert len({*data.train.ids, *data.val.ids, *data.test.ids}) == 27000
    for split in (data.train, data.val, data.test):
        classes = [name.split("_")[0] for name in split.ids]
        assert classes == [data.class_names[label] for label in split.labels]
    with pytest.raises(UsageError, match="has 17280 examples"):
        eurosat.load_eurosat(data_dir=folder, limit=17281)
