"""Read runs: report them, list what they reach, find wrong labels, and verify them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfmodels.errors import UsageError
from tfmodels.runs.directory import check_writable
from tfmodels.runs.environment import import_quietly
from tfmodels.runs.lock import MARKER
from tfmodels.runs.manifest import MANIFEST
from tfmodels.terminal import add_debug

if TYPE_CHECKING:  # NumPy takes half the time of `--help`
    from tfmodels.runs.contents import Run


RUNS = "run directories, or folders of them"


def fill_report(parser: argparse.ArgumentParser) -> None:
    """Write one HTML page about a run, or several beside each other."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUNS)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="file to write [report.html in the run, or here for several]",
    )
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Check what is asked for, and write the page."""
        runs = _open_runs(args.runs)
        default = (runs[0].path if len(runs) == 1 else Path()) / "report.html"
        path = args.out or default
        check_output(path, [run.path for run in runs])
        from tfmodels.report.page import write_report

        write_report(runs, path)
        print(f"report: {path}")

    parser.set_defaults(command=command, parser=parser)


def check_output(path: Path, own: Sequence[Path]) -> None:
    """Check that a file can be written: not into a run, but as the report of the only one.

    Raises:
        UsageError: it can't.
    """
    if path.is_dir():
        raise UsageError(f"`out` {path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"`out` {path}: there is no folder {path.parent}")
    place = path.parent.resolve()
    inside = any(
        (folder / name).exists()
        for folder in (place, *place.parents)
        for name in (MARKER, MANIFEST)
    )
    if inside and ([run.resolve() for run in own], path.name) != ([place], "report.html"):
        raise UsageError(f"`out` {path} is in a run directory: name a file elsewhere")
    check_writable(path.parent)


def fill_results(parser: argparse.ArgumentParser) -> None:
    """Print tables in Markdown of runs, with mean and spread of those that differ in their seed."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUNS)
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Print the tables."""
        from tfmodels.report.seeds import results

        print(results(args.runs))

    parser.set_defaults(command=command, parser=parser)


def fill_suspects(parser: argparse.ArgumentParser) -> None:
    """Write a page of test images that all runs confuse alike, to find wrong labels."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="run directories of several networks, seeds or splits, or folders of them",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("suspects.html"), help="file to write [suspects.html]"
    )
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Check what is asked for, and write the page."""
        check_output(args.out, [])
        from tfmodels.report.suspects import write_suspects
        from tfmodels.runs.contents import find_runs, open_run

        print(write_suspects([open_run(run) for run in find_runs(args.runs)], args.out))
        print(f"page: {args.out}")

    parser.set_defaults(command=command, parser=parser)


def fill_verifying(parser: argparse.ArgumentParser) -> None:
    """Check that runs are what they say: their files, their metrics and their predictions."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUNS)
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Check one run after the other; the first fault ends it."""
        runs = _open_runs(args.runs)
        verify = import_quietly("tfmodels.verify").verify
        for run in runs:
            print(run.path)
            for line in verify(run.path):
                print(f"  {line}")

    parser.set_defaults(command=command, parser=parser)


def _open_runs(paths: Sequence[Path]) -> "list[Run]":
    """Open runs that are named, unfinished ones too, and those in folders that are."""
    from tfmodels.runs.contents import find_runs, open_run, open_unfinished

    runs = []
    for path in paths:
        if path.resolve().suffix == ".incomplete":
            runs.append(open_unfinished(path))
        else:
            runs += [open_run(found) for found in find_runs([path])]
    for run in runs:
        run.check_not_exported()
    return runs
