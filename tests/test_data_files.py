import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.hostile import DAMAGES as KINDS
from tests.hostile import HOSTILE, damage, peak_growth
from tfmodels.data import files
from tfmodels.data.files import FileImages, check_files, read_image
from tfmodels.errors import RunError

COLOUR = (200, 100, 50)


def pixel(path: Path) -> tuple[int, ...]:
    image = read_image(path)
    assert image.mode == "RGB"
    value = image.getpixel((1, 1))
    assert isinstance(value, tuple)
    return value


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.webp", "a.tif", "a.TIFF"])
def test_the_formats(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, Image.new("RGB", (8, 6), COLOUR))
    assert np.abs(np.subtract(pixel(path), COLOUR)).max() <= 3
    other = path.rename(tmp_path / "without")  # the content tells the format
    assert read_image(other).size == (8, 6)


def palette() -> Image.Image:
    return Image.new("RGB", (8, 6), COLOUR).quantize(2)


def transparent_palette() -> Image.Image:
    image = palette()
    image.info["transparency"] = image.getpixel((1, 1))
    return image


def grey16(value: int) -> Image.Image:
    return Image.fromarray(np.full((6, 8), value, np.uint16))


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("grey.png", Image.new("L", (8, 6), 77), (77, 77, 77)),
        ("bits.png", Image.new("1", (8, 6), 1), (255, 255, 255)),
        ("palette.png", palette(), COLOUR),
        ("transparent palette.png", transparent_palette(), (255, 255, 255)),
        ("opaque.png", Image.new("RGBA", (8, 6), (*COLOUR, 255)), COLOUR),
        ("half.png", Image.new("RGBA", (8, 6), (*COLOUR, 51)), (244, 224, 214)),
        ("grey alpha.png", Image.new("LA", (8, 6), (77, 0)), (255, 255, 255)),
        ("cmyk.tif", Image.new("CMYK", (8, 6), (0, 255, 255, 0)), (255, 0, 0)),
        ("grey16.png", grey16(65535), (255, 255, 255)),
        ("grey16.tif", grey16(100 * 257), (100, 100, 100)),
        ("int32.tif", Image.fromarray(np.full((6, 8), 100 * 257, np.int32)), (100, 100, 100)),
    ],
)
def test_the_modes(
    tmp_path: Path, name: str, image: Image.Image, expected: tuple[int, int, int]
) -> None:
    assert pixel(saved(tmp_path / name, image)) == expected


def test_a_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.new("CMYK", (8, 6), (0, 255, 255, 0)))
    assert np.abs(np.subtract(pixel(path), (255, 0, 0))).max() <= 4


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.png"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, name: str) -> None:
    first, second = Image.new("RGB", (8, 6), COLOUR), Image.new("RGB", (8, 6))
    path = saved(tmp_path / name, first, save_all=True, append_images=[second], lossless=True)
    assert pixel(path) == COLOUR


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_images_are_upright(tmp_path: Path, name: str) -> None:
    image = Image.new("RGB", (64, 32))
    image.paste(COLOUR, (0, 0, 32, 32))  # left: on top when turned clockwise
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned, and the image is to be turned clockwise
    path = saved(tmp_path / name, image, exif=exif)
    upright = np.asarray(read_image(path))
    assert upright.shape == (64, 32, 3)
    assert np.abs(upright[:28] - np.array(COLOUR)).max() < 30
    assert upright[36:].max() < 30
    assert check_files(tmp_path, [name], name) == ((64, 32), {})


def test_images_are_scaled_and_cropped_without_distortion(tmp_path: Path) -> None:
    """Of a wide image the middle square is kept."""
    image = Image.new("RGB", (400, 200), "red")
    image.paste("blue", (100, 0, 300, 200))
    for name in ("a.png", "a.jpg"):
        saved(tmp_path / name, image, quality=95)
    images = FileImages(tmp_path, np.array(["a.png", "a.jpg"]), (50, 50))[np.array([1, 0, 1])]
    assert images.shape == (3, 50, 50, 3)
    assert images.dtype == np.uint8
    assert np.abs(images[:, 2:-2, 2:-2].astype(int) - (0, 0, 255)).max() < 10
    assert not FileImages(tmp_path, np.array(["a.png"]), (5, 5))[np.array([], int)].size


def test_small_images_are_read_by_index_as_they_are(tmp_path: Path, tf_test: Any) -> None:
    arrays = np.random.default_rng(0).integers(0, 256, (40, 6, 8, 3), dtype=np.uint8)
    names = [f"{index}.png" for index in range(40)]
    for name, array in zip(names, arrays, strict=True):
        Image.fromarray(array).save(tmp_path / name)
    images = FileImages(tmp_path, np.array(names), (6, 8))
    rows = np.random.default_rng(1).permutation(40)
    tf_test.assertAllEqual(images[rows], arrays[rows])


def test_a_large_jpeg_is_scaled_smoothly(tmp_path: Path) -> None:
    """Decoded at an eighth of its size or whole, it comes out nearly the same."""
    y, x = np.mgrid[:800, :800] / 800
    array = 255 * np.stack([x, y, (x + y) / 2], axis=-1)
    path = saved(tmp_path / "a.jpg", Image.fromarray(array.astype(np.uint8)), quality=95)
    (image,) = FileImages(tmp_path, np.array(["a.jpg"]), (40, 40))[np.array([0])]
    exact = read_image(path).resize((40, 40), Image.Resampling.BILINEAR)
    assert np.abs(image.astype(int) - np.asarray(exact).astype(int)).max() < 8


def truncate(path: Path) -> None:
    saved(path, Image.effect_noise((64, 64), 50), format="JPEG")
    os.truncate(path, path.stat().st_size // 2)


def flip_png(path: Path) -> None:
    saved(path, Image.effect_noise((64, 64), 50), format="PNG")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("no image"), "not a JPEG, PNG, WebP or TIFF image"),
    "empty": (lambda path: path.touch(), "not a JPEG, PNG, WebP or TIFF image"),
    "gif": (lambda path: saved(path, palette(), format="GIF"), "not a JPEG, PNG, WebP or TIFF"),
    "truncated": (truncate, "truncated"),
    "flipped": (flip_png, ""),
    "float": (
        lambda path: saved(path, Image.new("F", (8, 6)), format="TIFF"),
        "floating-point pixels",
    ),
    "pipe": (os.mkfifo, "not a regular file"),
    "folder": (Path.mkdir, "not a regular file"),
    "nowhere": (lambda path: path.symlink_to("missing"), "not a regular file"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_not_an_image_is_named(tmp_path: Path, name: str) -> None:
    make, message = DAMAGES[name]
    make(tmp_path / name)
    with pytest.raises(RunError, match=f"{tmp_path}/{name}: .*{message}"):
        read_image(tmp_path / name)
    saved(tmp_path / "good.png", Image.new("L", (8, 6)))
    size, damaged = check_files(tmp_path, [name, "good.png"], key=name)
    assert size == (6, 8)
    assert list(damaged) == [name]
    assert damaged[name].startswith(f"{name}: ")
    assert check_files(tmp_path, [name, "good.png"], key=name) == (size, damaged)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [40, 30, 10])  # Pillow warns of up to twice its limit
def test_a_decompression_bomb_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", (8, 6)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(RunError, match=r"a\.png: .*(8x6|48) pixels.* (limit of|than) "):
        read_image(path)


def test_a_line_says_what_takes_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And in a log there is no progress bar."""
    saved(tmp_path / "a.png", Image.new("L", (8, 6)))
    check_files(tmp_path, ["a.png"], "line")
    assert capsys.readouterr().err == f"checking 1 images of {tmp_path.name}\n"
    check_files(tmp_path, ["a.png"], "line")
    assert capsys.readouterr().err == ""


def test_the_result_of_a_check_is_kept_by_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    saved(tmp_path / "a.png", Image.new("L", (8, 6)))
    saved(tmp_path / "b.png", Image.new("L", (9, 6)))
    assert check_files(tmp_path, ["a.png"], "first") == ((6, 8), {})
    assert check_files(tmp_path, ["a.png", "b.png"], "both") == (None, {})
    monkeypatch.setattr(files, "_check_files", lambda *_: ((1, 1), {}))
    assert check_files(tmp_path, ["a.png"], "first") == ((6, 8), {})
    assert check_files(tmp_path, ["a.png", "b.png"], "both") == (None, {})
    assert check_files(tmp_path, ["a.png"], "other") == ((1, 1), {})
    for content in ("{", "[]", '{"size": [1, 2]}', '{"size": 3, "damaged": {}}'):
        (cache / "images" / f"{tmp_path.name}-first.json").write_text(content)
        assert check_files(tmp_path, ["a.png"], "first") == ((1, 1), {})


IMAGES = ("png", "tiff", "jpeg", "webp", "gif", "html", "device", "unix_socket")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of tags that it skips
@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind.startswith(IMAGES)])
def test_hostile_images_take_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(files, "LARGEST_HEADER", 2**20)  # which is quicker
    path = tmp_path / kind
    HOSTILE[kind](path)

    def read() -> None:
        """Refuse the image in one line, or read it where only its EXIF is hostile."""
        if kind == "jpeg_exif":
            assert read_image(path).size == (8, 8)
            return
        with pytest.raises(RunError, match=f"{path}: ") as caught:
            read_image(path)
        assert str(caught.value).isprintable()

    assert peak_growth(read) < 2**26


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    """Three of them, of 17 million pixels, would take 270 MB each."""
    Image.new("LA", (4100, 4100)).save(tmp_path / "a.png", compress_level=1)
    images = FileImages(tmp_path, np.array(["a.png"]), (8, 8))
    assert peak_growth(lambda: images[np.zeros(3, int)]) < 700e6


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_that_was_damaged_is_made_again(
    tmp_path: Path, cache: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / f"images {kind}"
    root.mkdir()
    saved(root / "a.png", Image.new("L", (8, 6)))
    for rng in map(np.random.default_rng, range(5)):
        assert check_files(root, ["a.png"], "key") == ((6, 8), {})
        (path,) = (cache / "images").glob(f"images-{kind.replace(' ', '-')}-key.json")
        capsys.readouterr()
        other = tmp_path / "other.json"
        content = json.loads(path.read_text())
        other.write_text(json.dumps(content | {"size": [1, 1]}))
        damage(path, kind, rng, other)
        assert check_files(root, ["a.png"], "key") == ((6, 8), {})
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith(str(path))
        assert said[0].endswith(": the images are checked again")
        assert said[1:] == [f"checking 1 images of {root.name}"]


def test_a_check_of_other_files_is_not_taken(tmp_path: Path, cache: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    saved(tmp_path / "first" / "a.png", Image.new("L", (8, 6)))
    saved(tmp_path / "second" / "a.png", Image.new("L", (9, 6)))
    check_files(tmp_path / "first", ["a.png"], "key")
    check_files(tmp_path / "second", ["a.png"], "key")
    shutil.copy(cache / "images" / "first-key.json", cache / "images" / "second-key.json")
    assert check_files(tmp_path / "second", ["a.png"], "key") == ((6, 9), {})
