import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import rasterio
import rasterio.transform
from PIL import Image
from rasterio.windows import Window

from tests import toys
from tfmodels import cli
from tfmodels.data.views import average_views
from tfmodels.errors import RunError, UsageError
from tfmodels.prediction import maps
from tfmodels.prediction.maps import class_colours, map_scene
from tfmodels.prediction.networks import predictor
from tfmodels.prediction.scenes import Scene
from tfmodels.runs.contents import open_run

UTM = {"crs": "EPSG:32632", "transform": rasterio.transform.from_origin(4e5, 5.5e6, 10, 10)}
NAMES = ("red", "green", "blue")


def mosaic(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return toy images (rows, columns, 8, 8, 3), and the scene of them all, row by row."""
    images = toys.arrays(rows * columns, 7)[0].reshape(rows, columns, 8, 8, 3)
    return images, images.swapaxes(1, 2).reshape(8 * rows, 8 * columns, 3)


def write(path: Path, pixels: np.ndarray, **more: Any) -> Path:
    height, width, bands = pixels.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": bands}
    profile |= {"dtype": pixels.dtype.name, **UTM, **more}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.moveaxis(pixels, -1, 0))
    return path


def expected(run: Path, images: np.ndarray) -> np.ndarray:
    model = keras.saving.load_model(run / "model.keras", compile=False)
    flat = images.reshape(-1, 8, 8, 3)
    found = average_views(lambda view: model.predict(view, verbose=0), flat, "mirror")
    return found.reshape(*images.shape[:2], 3)


def test_the_map_has_what_the_network_says_of_each_image(
    toy_runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, scene = mosaic(3, 5)
    source, out = write(tmp_path / "scene.tif", scene), tmp_path / "map.tif"
    assert cli.main(["map", str(toy_runs[0]), str(source), "--out", str(out)]) == 0
    found = expected(toy_runs[0], images)
    with rasterio.open(out) as file:
        classes, confidences = file.read()
        assert file.crs.to_epsg() == 32632
        assert file.transform == UTM["transform"]
        assert file.nodata == 255
        assert file.descriptions == ("class", "confidence, %")
        assert file.overviews(1)[:3] == [2, 4, 8]
        tags, colours = file.tags(1), file.colormap(1)
    assert [tags[f"CLASS_{i}"] for i in range(3)] == list(NAMES)
    assert len({colours[i] for i in range(3)}) == 3
    whole = found.argmax(axis=-1).repeat(8, axis=0).repeat(8, axis=1)
    assert classes.tolist() == whole.tolist()
    percent = np.rint(100 * found.max(axis=-1)).repeat(8, axis=0).repeat(8, axis=1)
    np.testing.assert_allclose(confidences, percent, atol=1)

    with Image.open(out) as independent:
        assert np.asarray(independent).tolist() == classes.tolist()
        assert independent.mode == "P"
    page = out.with_suffix(".html").read_text()
    printed = capsys.readouterr().out
    for i, name in enumerate(NAMES):
        area = (classes == i).sum() / 1e4
        assert f"<td>{area:,.2f}</td>" in page
        assert f"{area:,.2f} km²" in next(line for line in printed.splitlines() if name in line)
    assert "EPSG:32632" in page
    with Image.open(out.with_suffix(".png")) as overview:
        seen = set(map(tuple, np.asarray(overview.convert("RGBA")).reshape(-1, 4).tolist()))
    assert {colours[i] for i in range(3) if (classes == i).any()} <= seen


def test_overlapping_windows_are_averaged_and_the_edges_are_filled(
    toy_runs: list[Path], tmp_path: Path
) -> None:
    scene = mosaic(4, 4)[1][:27, :30]
    map_scene(
        [open_run(toy_runs[0])], write(tmp_path / "s.tif", scene), tmp_path / "map.tif", stride=4
    )
    sums, counts = np.zeros((27, 30, 3)), np.zeros((27, 30, 1))
    for top, left in itertools.product([*range(0, 20, 4), 19], [*range(0, 23, 4), 22]):
        rest = (24 if top == 19 else top, 28 if left == 22 else left)
        place = slice(rest[0], top + 8), slice(rest[1], left + 8)
        window = scene[top : top + 8, left : left + 8]
        sums[place] += expected(toy_runs[0], window[None, None])[0, 0]
        counts[place] += 1
    means = sums / counts
    with rasterio.open(tmp_path / "map.tif") as file:
        classes, confidences = file.read()
    sure = np.sort(means, axis=-1)[..., -2:] @ [-1, 1] > 1e-4
    assert sure.mean() > 0.9
    assert (classes == means.argmax(axis=-1))[sure].all()
    np.testing.assert_allclose(confidences, 100 * means.max(axis=-1), atol=1)


def test_a_fusion_maps_by_its_rule_and_several_runs_by_their_mean(
    toy_runs: list[Path], tmp_path: Path
) -> None:
    images, scene = mosaic(2, 2)
    source = write(tmp_path / "scene.tif", scene)
    mean = np.mean([expected(run, images) for run in toy_runs[:2]], axis=0)
    map_scene([open_run(run) for run in toy_runs[:2]], source, tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        np.testing.assert_allclose(file.read(2)[::8, ::8], 100 * mean.max(axis=-1), atol=1)
    map_scene([open_run(toy_runs[2])], source, tmp_path / "fused.tif")
    predict, _ = predictor(open_run(toy_runs[2]))
    fused = predict({(8, 8, 3): images.reshape(-1, 8, 8, 3)}).reshape(2, 2, 3)
    with rasterio.open(tmp_path / "fused.tif") as file:
        assert file.read(1)[::8, ::8].tolist() == fused.argmax(axis=-1).tolist()
        np.testing.assert_allclose(file.read(2)[::8, ::8], 100 * fused.max(axis=-1), atol=1)


def test_missing_pixels_stay_missing(toy_runs: list[Path], tmp_path: Path) -> None:
    scene = mosaic(2, 3)[1].clip(1)  # 0 is missing
    scene[:8, :5] = 0  # most of the first image
    scene[8:, 8:10] = 0  # some of the fifth
    scene[8:, 23, 0] = 0  # one band of the last, which has a value in others
    map_scene(
        [open_run(toy_runs[0])], write(tmp_path / "s.tif", scene, nodata=0), tmp_path / "map.tif"
    )
    with rasterio.open(tmp_path / "map.tif") as file:
        classes, confidences = file.read()
    assert (classes[:8, :8] == 255).all()
    assert (classes[8:, 8:10] == 255).all()
    assert (classes[8:, 10:] < 255).all()
    assert ((classes == 255) == (confidences == 255)).all()
    same = write(tmp_path / "silent.tif", scene)
    map_scene([open_run(toy_runs[0])], same, tmp_path / "told.tif", nodata=0)
    with rasterio.open(tmp_path / "told.tif") as file:
        assert file.read(1).tolist() == classes.tolist()
    empty = write(tmp_path / "empty.tif", np.zeros((16, 16, 3), "uint8"), nodata=0)
    covers = map_scene([open_run(toy_runs[0])], empty, tmp_path / "none.tif")
    assert [(one.pixels, one.share, one.confidence) for one in covers] == [(0, 0, None)] * 3


def test_values_and_order_of_bands(toy_runs: list[Path], tmp_path: Path) -> None:
    eight = mosaic(2, 2)[1].clip(1)
    stack = np.zeros((16, 16, 5), "uint16")
    stack[..., [3, 2, 1]] = np.rint((eight.astype(float) - 1) / 254 * 2000) + 500
    one = open_run(toy_runs[0])
    map_scene([one], write(tmp_path / "8.tif", eight), tmp_path / "map8.tif")
    sixteen = write(tmp_path / "16.tif", stack)
    map_scene([one], sixteen, tmp_path / "map16.tif", bands=(4, 3, 2), values=(500, 2500))
    with (
        rasterio.open(tmp_path / "map8.tif") as first,
        rasterio.open(tmp_path / "map16.tif") as second,
    ):
        assert (first.read() == second.read()).all()


def test_values_beyond_the_range_and_missing_ones() -> None:
    scene = np.array([[-40.0, -25, -12.5, 0, 9], [np.nan, 1, 1, 1, 1]], "float32")[:, :, None]
    with rasterio.MemoryFile() as memory:
        profile = {"driver": "GTiff", "height": 2, "width": 5, "count": 2, "dtype": "float32"}
        with memory.open(**profile, nodata=1) as file:
            file.write(np.moveaxis(np.concatenate([scene, scene * 0 - 25], -1), -1, 0))
        with memory.open() as file:
            opened = Scene(Path("s.tif"), file, (1, 2), (-25.0, 0.0), None)
            pixels, missing = opened.read(Window(0, 0, 5, 2))
    assert pixels[0, :, 0].tolist() == [1, 1, 128, 255, 255]
    assert pixels[1, :, 0].tolist() == [0, 1, 1, 1, 1]  # missing; and missing in one band alone
    assert missing.tolist() == [[False] * 5, [True, False, False, False, False]]


def test_a_scene_without_projection_has_no_areas(toy_runs: list[Path], tmp_path: Path) -> None:
    for name, crs in (("none", None), ("degrees", "EPSG:4326"), ("web", "EPSG:3857")):
        source = write(tmp_path / f"{name}.tif", mosaic(1, 2)[1], crs=crs)
        covers = map_scene([open_run(toy_runs[0])], source, tmp_path / "map.tif")
        assert {one.area for one in covers} == {None}
        assert "Areas need a projection" in (tmp_path / "map.html").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{run} {dir}", "there is no such file"),
        ("{run} {dir}/none.tif", "none.tif matches no file or folder"),
        ("{run} {dir}/text.tif", "is not a GeoTIFF file"),
        ("{run} {dir}/8.tif {dir}/8.tif", "only one scene"),
        ("{run}", "there are no scenes to map"),
        ("{dir}/8.tif", "is not a complete run directory"),
        ("{run} {dir}/8.tif --stride 3", "--stride is 3: it must divide the images' side of 8"),
        ("{run} {dir}/8.tif --stride 0", "--stride is 0"),
        ("{run} {dir}/8.tif --stride -8", "--stride is -8"),
        ("{run} {dir}/8.tif --bands 1 2", "--bands are 2"),
        ("{run} {dir}/8.tif --bands 1 2 4", "--bands are [1, 2, 4]: {dir}/8.tif has 1 to 3"),
        ("{run} {dir}/8.tif --values 0 inf", "name two numbers, the lower first"),
        ("{run} {dir}/8.tif --values 9 9", "name two numbers, the lower first"),
        ("{run} {dir}/16.tif", "--values are needed: {dir}/16.tif holds uint16"),
        ("{run} {dir}/1.tif", "--bands are 1"),
        ("{run} {dir}/small.tif", "is smaller than an image of 8 x 8 pixels"),
        ("{run} {dir}/8.tif --out {dir}/8.tif --overwrite", "is the scene itself"),
        ("{run} {dir}/8.tif --out {dir}/16.tif", "16.tif exists: choose another --out"),
        ("{run} {dir}/8.tif --out {dir}/x.png", "it must end in .tif"),
        ("{run} {dir}/8.tif --out {run}/x.tif", "is in a run directory"),
    ],
)
def test_wrong_calls(
    line: str,
    message: str,
    toy_runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scene = mosaic(1, 1)[1]
    write(tmp_path / "8.tif", scene)
    write(tmp_path / "16.tif", scene.astype("uint16"))
    write(tmp_path / "1.tif", scene[..., :1])
    write(tmp_path / "small.tif", scene[:7])
    (tmp_path / "text.tif").write_text("no pixels")
    before = sorted(tmp_path.iterdir())
    arguments = line.format(run=toy_runs[0], dir=tmp_path).split()
    if "--out" not in arguments:
        arguments += ["--out", str(tmp_path / "map.tif")]
    assert cli.main(["map", *arguments]) == 2
    assert message.format(dir=tmp_path) in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_scene_leaves_nothing(toy_runs: list[Path], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")
    source = write(tmp_path / "scene.tif", noise, compress="deflate", blockysize=8)
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    source.write_bytes(content)
    with pytest.raises(RunError, match=r"scene\.tif is damaged"):
        map_scene([open_run(toy_runs[0])], source, tmp_path / "map.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_blocks_too_large_for_memory_are_refused(
    toy_runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfmodels.prediction.scenes.LARGEST_BLOCK", 100)
    source = write(tmp_path / "scene.tif", mosaic(1, 1)[1])
    with pytest.raises(UsageError, match="kept in blocks of 8 x 8 pixels, too large"):
        map_scene([open_run(toy_runs[0])], source, tmp_path / "map.tif")


def test_runs_of_images_of_other_sizes_do_not_map_together(
    toy_runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "predictor_of_all", lambda runs: (None, {(8, 8, 3), (9, 9, 3)}))
    source = write(tmp_path / "s.tif", mosaic(2, 2)[1])
    with pytest.raises(UsageError, match="images of different sizes"):
        map_scene([open_run(toy_runs[0])], source, tmp_path / "map.tif")


def test_a_map_that_cannot_be_read_back_is_not_kept(
    toy_runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "s.tif", mosaic(2, 2)[1])
    check = maps._check

    def lose_the_end(part: Path) -> None:
        with part.open("rb+") as file:
            file.truncate(part.stat().st_size // 2)
        check(part)

    monkeypatch.setattr(maps, "_check", lose_the_end)
    with pytest.raises(RunError, match=r"map\.tif can't be written"):
        map_scene([open_run(toy_runs[0])], source, tmp_path / "map.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


def test_colours() -> None:
    assert class_colours(["Forest", "River"]) == [maps.COLOURS["Forest"], maps.COLOURS["River"]]
    for count in (2, 20, 60):
        colours = class_colours([str(i) for i in range(count)])
        assert len(set(colours)) == count
