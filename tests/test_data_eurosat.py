import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import checksums

from tests.conftest import Answers
from tests.hostile import HOSTILE, peak_growth
from tfmodels.data import eurosat
from tfmodels.data.augmentation import turn_shift_brighten
from tfmodels.data.images import load_data
from tfmodels.errors import RunError, UsageError
from tfmodels.recipes import configure

CLASSES = ("Forest", "River")
ALL = ["Forest_1.jpg", "Forest_2.jpg", "River_1.jpg", "River_2.jpg"]


def prepared_folder(name: str) -> Path:
    """Return the folder that holds a prepared data set, or skip the test."""
    shared = Path(__file__).parents[2] / "shared" / "tfds"
    own = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    for folder in (Path(own).expanduser(), shared):
        if (folder / name / "dataset_info.json").exists():
            return folder
    pytest.skip(f"{name} is not prepared on this machine")


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def archive(members: Sequence[str] = (), last: bytes | None = None) -> bytes:
    """Return a EuroSAT.zip of four images, and further members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:

        def add(name: str, data: bytes) -> None:
            # Of 1980, not of now: its checksum is that of one made two seconds later.
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)

        for i, name in enumerate(CLASSES):
            for number in (1, 2):
                image = jpeg(Image.new("RGB", (64, 64), (100 * i, 50 * number, 0)))
                if last is not None and (name, number) == ("River", 2):
                    image = last
                add(f"2750/{name}/{name}_{number}.jpg", image)
        for name in members:
            add(name, b"x")
    return content.getvalue()


def with_flipped_bit() -> bytes:
    """Return the archive with one wrong bit in a compressed image."""
    content = bytearray(archive())
    content[400] ^= 1
    return bytes(content)


@pytest.fixture
def hosts(loopback: tuple[Answers, str], monkeypatch: pytest.MonkeyPatch) -> Answers:
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
    monkeypatch.setattr(eurosat, "IMAGES", 4)
    return answers


def names(builder: Any) -> list[str]:
    return sorted(
        example["filename"].decode() for example in tfds.as_numpy(builder.as_dataset("train"))
    )


def test_the_mirror_serves_when_the_source_refuses(hosts: Answers, tmp_path: Path) -> None:
    hosts["/EuroSAT.zip"] = (200, len(archive()), archive())
    builder = eurosat.prepare(str(tmp_path))
    assert names(builder) == ALL
    assert builder.info.features["label"].names[8] == "River"
    again = tfds.builder("eurosat/rgb", data_dir=tmp_path)
    assert again.is_prepared()
    del hosts["/EuroSAT.zip"]
    assert names(eurosat.prepare(str(tmp_path))) == ALL


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((404, 0, b""), "404"),
        ((200, len(archive()), archive()[:-500]), "broken|IncompleteRead"),
        ((200, len(archive(["x"])), archive(["x"])), "has the wrong checksum"),
    ],
    ids=["404", "truncated", "checksum"],
)
def test_when_all_fail_everything_tried_is_named_and_nothing_is_left(
    hosts: Answers, tmp_path: Path, answer: tuple[int, int, bytes], cause: str
) -> None:
    hosts["/EuroSAT.zip"] = answer
    with pytest.raises(RunError, match=cause) as caught:
        eurosat.prepare(str(tmp_path))
    for words in ("TFDS' source (", eurosat.MIRROR, "`data_dir`", "`archive`", str(tmp_path)):
        assert words in str(caught.value)
    assert not tfds.builder("eurosat/rgb", data_dir=tmp_path).is_prepared()
    assert not list(tmp_path.rglob("*.tfrecord*"))


def test_an_archive_the_user_has(hosts: Answers, tmp_path: Path, tf_test: Any) -> None:
    (tmp_path / "mine.zip").write_bytes(archive())
    builder = eurosat.prepare(str(tmp_path / "data"), tmp_path / "mine.zip")
    assert names(builder) == ALL
    (example,) = (
        e for e in tfds.as_numpy(builder.as_dataset("train")) if e["filename"] == b"River_2.jpg"
    )
    assert example["label"] == 8
    tf_test.assertAllClose(example["image"].mean(axis=(0, 1)), (100, 100, 0), atol=2)


RGB = Image.new("RGB", (64, 64))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "can't be read as a zip file"),
        (archive()[:-500], "can't be read as a zip file"),
        (archive(["../../etc/evil.jpg"]), "leads out of a folder: refused"),
        (archive(["/etc/evil.jpg"]), "leads out of a folder: refused"),
        (with_flipped_bit(), "is damaged: its member 2750/Forest/Forest_1.jpg"),
        (archive(["2750/River/River_3.jpg"]), "holds 5 images of EuroSAT, not 4"),
        (archive(last=b"x"), "is damaged: its member 2750/River/River_2.jpg .*cannot identify"),
        (archive(last=jpeg(RGB)[:-300]), "River_2.jpg is not an image .*Truncated"),
        (archive(last=jpeg(RGB.resize((65, 64)))), r"River_2.jpg .*\(65x64 RGB\)"),
        (archive(last=jpeg(RGB.convert("L"))), r"River_2.jpg .*\(64x64 L\)"),
        (archive(last=bytes(10**8)), "member 2750/River/River_2.jpg has 100000000 bytes"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_eurosat_is_refused(
    hosts: Answers, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        eurosat.prepare(str(tmp_path / "data"), tmp_path / "bad.zip")
    assert not list((tmp_path / "data").rglob("*.tfrecord*"))


def with_image(name: str) -> bytes:
    """Return the archive with another member that holds an image."""
    content = io.BytesIO(archive())
    with zipfile.ZipFile(content, "a") as file:
        file.writestr(name, jpeg(RGB))
    return content.getvalue()


HOSTILE_ARCHIVES = {
    "zip_slip": "it holds '../slipped', which leads out of a folder: refused",
    "zip_absolute": "it holds '/tmp/slipped', which leads out of a folder: refused",
    "zip_backslash": r"slipped', which leads out of a folder: refused",
    "zip_link": "it holds 'link', which is a link: refused",
    "zip_twice": "it holds 'twice', which is there twice: refused",
    "zip_encrypted": "it holds 'secret', which is encrypted: refused",
    "zip_directory": "holds 0 images of EuroSAT, not 4 different ones",
    "npz_bzip2": "'a.npy', which is neither stored nor deflated: refused",
} | dict.fromkeys(("pipe", "folder", "device", "unix_socket"), "is not a regular file")


@pytest.mark.parametrize("kind", HOSTILE_ARCHIVES)
def test_a_hostile_archive_is_refused(hosts: Answers, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.zip"
    if kind.startswith("zip"):
        path.write_bytes(archive())
    HOSTILE[kind](path)

    def prepare() -> None:
        """Refuse the archive in one line."""
        with pytest.raises(UsageError, match=f"{path}.*{HOSTILE_ARCHIVES[kind]}") as caught:
            eurosat.prepare(str(tmp_path / "data"), path)
        assert str(caught.value).isprintable()

    assert peak_growth(prepare) < 2**26
    assert not list(tmp_path.rglob("slipped"))


def test_an_archive_of_other_classes_or_of_one_image_twice_is_refused(
    hosts: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.zip").write_bytes(with_image("2750/Sea/Sea_1.jpg"))
    assert names(eurosat.prepare(str(tmp_path / "data"), tmp_path / "bad.zip")) == ALL
    monkeypatch.setattr(eurosat, "IMAGES", 5)
    (tmp_path / "bad.zip").write_bytes(with_image("copy/River/River_1.jpg"))
    with pytest.raises(UsageError, match="holds 5 images of EuroSAT, not 5 different ones"):
        eurosat.prepare(str(tmp_path / "other"), tmp_path / "bad.zip")


def test_eurosat_is_loaded_from_an_archive(hosts: Answers, tmp_path: Path) -> None:
    (tmp_path / "mine.zip").write_bytes(archive())
    folder = tmp_path / "lists"
    folder.mkdir()
    config = configure(
        data="eurosat",
        data_dir=str(tmp_path),
        archive=str(tmp_path / "mine.zip"),
        split_scheme=str(folder),
    )
    for part in ("train", "val", "test"):
        (folder / f"{part}.txt").write_text("Forest_1.jpg\nRiver_1.jpg")
    with pytest.raises(UsageError, match="val and train share Forest_1.jpg"):
        load_data(config)


def test_the_real_eurosat() -> None:
    """Its random split and order are those of commit 6caedc4."""
    folder = prepared_folder("eurosat/rgb/2.0.0")
    data = load_data(configure(data="eurosat", data_dir=str(folder)))
    assert (data.name, data.version) == ("eurosat", "2.0.0")
    assert data.augment is turn_shift_brighten
    assert (len(data.train), len(data.val), len(data.test)) == (17280, 4320, 5400)
    assert len({*data.train.ids, *data.val.ids, *data.test.ids}) == 27000
    for split in (data.train, data.val, data.test):
        classes = [name.split("_")[0] for name in split.ids]
        assert classes == [data.class_names[label] for label in split.labels]
    joined = hashlib.sha256("\n".join(data.val.ids).encode()).hexdigest()
    assert joined == "1c02af8dde538c186bac94cbcdc13b2478e359ee3c3a8535c93b2e8356650544"
    pixels = hashlib.sha256()
    for start in range(0, 4320, 432):
        pixels.update(data.val.images[np.arange(start, start + 432)].data)
    assert pixels.hexdigest() == "9ff9bb1a31947a540b14667c1eb4b4b4775e8d04df922fe91285cb4b736a4c0c"
