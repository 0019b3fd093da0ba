"""Classify images of one's own, and map scenes."""

import argparse
import glob
import os
from pathlib import Path

from tfmodels.commands.reading import check_output
from tfmodels.errors import RunError, UsageError
from tfmodels.runs.directory import is_complete
from tfmodels.runs.environment import import_quietly
from tfmodels.terminal import add_debug


def fill_predicting(parser: argparse.ArgumentParser) -> None:
    """Classify images with trained networks, and write a table."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="first one run directory or several, whose mean counts; then image files, folders "
        "of them, and patterns such as 'scenes/**/*.tif'",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("predictions.csv"),
        metavar="PATH",
        help="table to write, .csv or .jsonl [predictions.csv]",
    )
    _add_overwrite(parser)
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Tell runs from images, and classify the images."""
        runs, names = _split(args.paths, "images to classify")
        for path in (args.out, args.out.with_suffix(".html")):
            _check_free(path, args.overwrite)
        from tfmodels.runs.contents import open_run

        opened = [open_run(run) for run in runs]
        predict = import_quietly("tfmodels.prediction.predict").predict_files
        outcome = predict(opened, names, args.out, args.overwrite)
        print(outcome.text)
        if outcome.unreadable:
            raise RunError(outcome.unreadable)

    parser.set_defaults(command=command, parser=parser)


def fill_mapping(parser: argparse.ArgumentParser) -> None:
    """Make a land-cover map of a GeoTIFF with trained networks."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="first one run directory or several, whose mean counts; then a scene, a GeoTIFF file",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("map.tif"),
        metavar="PATH",
        help="map to write; beside it, an overview .png and a page .html [map.tif]",
    )
    _add_overwrite(parser)
    parser.add_argument(
        "--stride",
        type=int,
        metavar="N",
        help="pixels from one window to the next; windows that overlap are averaged [images' side]",
    )
    parser.add_argument(
        "--bands",
        type=int,
        nargs="+",
        metavar="N",
        help="numbers of the scene's bands that are red, green and blue; 4 3 2 of a file with all "
        "of Sentinel-2's [1 2 3]",
    )
    parser.add_argument(
        "--values",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="values that become black and white, if they aren't 0 to 255 already; EuroSAT was "
        "made with 0 2750 of Sentinel-2's Level-1C (from January 2022 on that is 1000 3750)",
    )
    parser.add_argument(
        "--nodata", type=float, metavar="X", help="value of missing pixels [as the file says]"
    )
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Tell runs from the scene, and make its map."""
        runs, scenes = _split(args.paths, "scenes to map")
        if len(scenes) > 1:
            raise UsageError(f"{scenes[1]}: only one scene is mapped at a time")
        for path in (args.out, args.out.with_suffix(".png"), args.out.with_suffix(".html")):
            _check_free(path, args.overwrite)
        if args.out.resolve() == Path(scenes[0]).resolve():
            raise UsageError(f"`out` {args.out} is the scene itself: name another file")
        from tfmodels.runs.contents import open_run

        covers = import_quietly("tfmodels.prediction.maps").map_scene(
            [open_run(run) for run in runs],
            Path(scenes[0]),
            args.out,
            stride=args.stride,
            bands=args.bands,
            values=args.values,
            nodata=args.nodata,
        )
        for cover in covers:
            area = "" if cover.area is None else f"{cover.area:12,.2f} km²"
            print(f"{cover.name:25}{cover.share:8.2%}{area}")
        print(f"map: {args.out}, page: {args.out.with_suffix('.html')}")

    parser.set_defaults(command=command, parser=parser)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def _check_free(path: Path, overwrite: bool) -> None:
    """Check that a file can be written, and isn't there unless it may be replaced.

    Raises:
        UsageError: it can't.
    """
    check_output(path, [])
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists: choose another `out`, or add `overwrite=True`")


def _split(paths: list[str], wanted: str) -> tuple[list[Path], list[str]]:
    """Return the runs that paths begin with, and the others.

    Raises:
        UsageError: there are none of either.
    """
    names = list(paths)
    runs = []
    while names and is_complete(Path(names[0])):
        runs.append(Path(names.pop(0)))
    if not runs:
        raise UsageError(f"{names[0]} is not a complete run directory: name one before the images")
    if not names:
        raise UsageError(f"there are no {wanted}: name them after {runs[-1]}")
    for name in names:
        if not os.path.lexists(name) and next(glob.iglob(name, recursive=True), None) is None:
            raise UsageError(f"{name} matches no file or folder")
    return runs, names
