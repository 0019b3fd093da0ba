"""Classify images of one's own."""

import argparse
from pathlib import Path

from tfmodels.commands.reading import check_output
from tfmodels.errors import UsageError
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
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Tell runs from images, and classify the images."""
        names = list(args.paths)
        runs = []
        while names and is_complete(Path(names[0])):
            runs.append(Path(names.pop(0)))
        if not runs:
            raise UsageError(f"{names[0]} is not a complete run directory: name a run first")
        if not names:
            raise UsageError(f"there are no images to classify: name some after {runs[-1]}")
        check_output(args.out, [])
        from tfmodels.runs.contents import open_run

        opened = [open_run(run) for run in runs]
        print(import_quietly("tfmodels.prediction.predict").predict_files(opened, names, args.out))

    parser.set_defaults(command=command, parser=parser)
