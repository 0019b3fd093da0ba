"""Map a scene of Sentinel-2's size that is a mosaic of EuroSAT's test images, and check the map.

    python -m benchmarks.scene RUN --data-dir FOLDER

The map must have, for each image, what the run predicted of it; it is read by Pillow.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import rasterio.transform
from PIL import Image
from rasterio.windows import Window

from tfmodels.config import Config
from tfmodels.data.images import load_data
from tfmodels.prediction.maps import map_scene
from tfmodels.runs.contents import open_run

SIDE, IMAGE = 10_980, 64  # pixels of a Sentinel-2 tile at 10 m, and of an image


def write_mosaic(path: Path, images: np.ndarray, rows: np.ndarray) -> None:
    """Write a scene of images side by side; at the right and the lower edge they are cut."""
    each = len(rows)
    profile = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 3, "dtype": "uint8"}
    profile |= {"crs": "EPSG:32632", "compress": "deflate", "tiled": True}
    transform = rasterio.transform.from_origin(4e5, 5.5e6, 10, 10)
    with rasterio.open(path, "w", **profile, transform=transform) as file:
        for top in range(each):
            strip = np.concatenate(list(images[rows[top]]), axis=1)
            height = min(IMAGE, SIDE - IMAGE * top)
            pixels = np.moveaxis(strip[:height, :SIDE], -1, 0)
            file.write(pixels, window=Window(0, IMAGE * top, SIDE, height))


def main() -> None:
    """Make the scene, map it, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-dir")
    args = parser.parse_args()
    run = open_run(args.run)
    settings = run.config["settings"]
    test = load_data(
        Config(data="eurosat", data_dir=args.data_dir, seed=int(str(settings["seed"])))
    ).test
    found = run.predictions()["test"]
    if list(found.ids) != list(test.ids):
        raise SystemExit(f"{args.run} was tested on other images than `--split random` has")
    each = -(-SIDE // IMAGE)
    rows = np.random.default_rng(0).integers(0, len(test.ids), (each, each))
    images = test.images[np.arange(len(test.ids))]
    with tempfile.TemporaryDirectory() as folder:
        scene, out = Path(folder) / "scene.tif", Path(folder) / "map.tif"
        write_mosaic(scene, images, rows)
        del images
        before = time.perf_counter()
        map_scene([run], scene, out)
        minutes = (time.perf_counter() - before) / 60
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        with Image.open(out) as file:
            classes = np.asarray(file)
        with rasterio.open(out) as file:
            confidences = file.read(2)
        size = out.stat().st_size
    whole = each - 1  # those that aren't cut
    expected = found.probabilities[rows[:whole, :whole]]
    place = slice(0, whole * IMAGE)
    agree = classes[place, place] == expected.argmax(-1).repeat(IMAGE, 0).repeat(IMAGE, 1)
    percent = 100 * expected.max(-1).repeat(IMAGE, 0).repeat(IMAGE, 1)
    gap = np.abs(confidences[place, place] - percent).max()
    print(f"{SIDE:,} x {SIDE:,} pixels, {each**2:,} windows: {minutes:.1f} minutes")
    print(f"pixels whose class is that of the image's own prediction: {agree.mean():.4%}")
    print(f"largest difference of confidences: {gap:.2f} points, of which rounding is 0.5")
    print(f"missing pixels: {(classes == 255).sum()}; size of the map: {size / 2**20:.1f} MiB")
    print(f"largest memory until then: {memory:.1f} GiB")


if __name__ == "__main__":
    main()
