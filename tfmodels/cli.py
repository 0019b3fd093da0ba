"""From a command line to settings, and from an error to one line and an exit code.

TensorFlow is imported only after the arguments are known good, so `--help` and every
wrong argument answer at once.
"""

import argparse
import dataclasses
import os
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tfmodels.runs.environment import import_quietly
from tfmodels.errors import RunError, UsageError
from tfmodels.runs.directory import check_free, check_writable, is_complete, run_path
from tfmodels.config import (
    FUSION_METHODS,
    NAMED_SPLITS,
    WEIGHTS,
    CifarSettings,
    EurosatSettings,
    Settings,
    flag,
)

AnySettings = TypeVar("AnySettings", bound=Settings)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report a wrong argument as every other wrong call is."""
        raise UsageError(f"{message} (see {self.prog} --help)")


@dataclasses.dataclass(frozen=True)
class Part:
    """What differs between the scripts of the study's two parts.

    `run` and `run_table` are functions of `experiments` and `study`, named because importing
    them loads TensorFlow; `table_sets` are the arguments that the table sets itself.
    """

    prog: str
    description: str
    settings: type[Settings]
    run: str
    table: str
    table_help: str
    table_sets: tuple[str, ...]
    run_table: str


CIFAR = Part(
    prog="train_cifar.py",
    description="Train the study's VGG-style CNN on CIFAR-10 and judge it on the test split.",
    settings=CifarSettings,
    run="run_cifar",
    table="--table1",
    table_help="run the five settings of the study's Table 1",
    table_sets=("lr", "epochs", "step_decay", "name"),
    run_table="run_table1",
)
EUROSAT = Part(
    prog="train_eurosat.py",
    description="Train AlexNet or MobileNetV2 on EuroSAT and judge it on the test split.",
    settings=EurosatSettings,
    run="run_eurosat",
    table="--table3",
    table_help="run the four settings of the study's Table 3 and fuse the pretrained two",
    table_sets=("model", "weights", "train", "image_size", "name"),
    run_table="run_table3",
)


def train(part: Part) -> int:
    """The whole of a training script: parse, run, print. Returns the exit code."""

    def command(args: argparse.Namespace) -> None:
        """Train one run, or fill the table."""
        settings = settings_from(args, part.settings)
        if args.table:
            check_table(args, part)
            check_writable(args.out)
            study = import_quietly("tfmodels.study")
            print(getattr(study, part.run_table)(settings, args.out, args.overwrite))
            return
        path = run_path(args.out, settings.run_name() if args.name is None else args.name)
        check_free(path, args.overwrite)
        experiments = import_quietly("tfmodels.experiments")
        print(getattr(experiments, part.run)(settings, path, args.overwrite))
        print(f"run directory: {path}")

    return run_script(training_parser(part), command)


def fuse() -> int:
    """The whole of fuse.py: parse, fuse, print. Returns the exit code."""

    def command(args: argparse.Namespace) -> None:
        """Fuse once, or compare all methods."""
        if args.all_methods and (args.method != "sum" or args.name is not None):
            word = "--name" if args.name is not None else "--method"
            raise UsageError(f"--all-methods makes a table of all methods: leave {word} out")
        check_writable(args.out)
        from tfmodels import ensemble
        from tfmodels.fusion.members import find_pretrained, load_members
        from tfmodels.report.tables import numbered

        runs = args.runs or find_pretrained(args.out)
        members = load_members(runs)
        for run, label in zip(runs, numbered(map(str, runs)).values(), strict=True):
            print(f"{label}: {run}")
        print()
        if args.all_methods:
            print(ensemble.table_of_methods(members, args.calibrate, args.out))
            return
        path = ensemble.fusion_path(args.out, members, args.method, args.calibrate)
        if args.name is not None:
            path = run_path(args.out, args.name)
        print(ensemble.run_fusion(members, args.method, args.calibrate, path, args.overwrite))
        print(f"run directory: {path}")

    return run_script(fusing_parser(), command)


def fusing_parser() -> argparse.ArgumentParser:
    """The arguments of fuse.py."""
    parser = _Parser(
        prog="fuse.py",
        description="Fuse trained networks by their predictions, and say whether it helps.",
        epilog="Defaults in brackets. What a run directory holds: README.md.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="run directories, two or more [the newest pretrained two of Part 2]",
    )
    parser.add_argument(
        "--method",
        choices=FUSION_METHODS,
        default="sum",
        help="rule that makes several predictions one [sum]; power, weighted and stacking learn "
        "from the validation pictures",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="fit the fusion's confidence to the validation pictures by a temperature",
    )
    parser.add_argument(
        "--all-methods", action="store_true", help="compare all methods in a table, keeping no run"
    )
    _add_run_flags(parser)
    return parser


def report() -> int:
    """The whole of `python -m tfmodels.report`: parse, write, print. Returns the exit code."""

    def command(args: argparse.Namespace) -> None:
        """Check what is asked for, and write the page."""
        for run in args.runs:
            if not is_complete(run):
                raise UsageError(f"{run} is no complete run directory: name one, such as runs/NAME")
        path = args.out or (args.runs[0] if len(args.runs) == 1 else Path()) / "report.html"
        if path.is_dir():
            raise UsageError(f"--out {path} is a folder: name a file, such as report.html in it")
        if not path.parent.is_dir():
            raise UsageError(f"--out {path}: there is no folder {path.parent}")
        check_writable(path.parent)
        from tfmodels.report.page import write_report

        write_report(args.runs, path)
        print(f"report: {path}")

    parser = _Parser(
        prog="python -m tfmodels.report",
        description="Write one HTML page about a run, or several beside each other.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="file to write [report.html in the run, or here for several]",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return run_script(parser, command)


def training_parser(part: Part) -> argparse.ArgumentParser:
    """The arguments of a training script: the settings, where the run goes, and its table."""
    parser = _Parser(
        prog=part.prog,
        description=part.description,
        epilog="Defaults in brackets. What a run directory holds: README.md.",
        allow_abbrev=False,
    )
    _add_settings(parser, part.settings)
    parser.add_argument(part.table, dest="table", action="store_true", help=part.table_help)
    _add_run_flags(parser)
    return parser


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="PATH", help="folder of the runs [runs]"
    )
    parser.add_argument("--name", help="name of the run directory [derived from the settings]")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a run directory of the same name"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _add_settings(parser: argparse.ArgumentParser, settings: type) -> None:
    metavars = {int: "N", float: "X", str: "PATH"}
    for field in dataclasses.fields(settings):
        kind, text, choices = (field.metadata[key] for key in ("kind", "help", "choices"))
        if kind is bool:
            name, action = (
                (f"no_{field.name}", "store_false") if field.default else (field.name, "store_true")
            )
            parser.add_argument(flag(name), dest=field.name, action=action, help=text)
            continue
        parser.add_argument(
            flag(field.name),
            type=kind,
            default=field.default,
            choices=choices,
            metavar=None if choices else metavars[kind],
            help=text if field.default is None else f"{text} [{field.default}]",
        )


def settings_from(args: argparse.Namespace, settings: type[AnySettings]) -> AnySettings:
    """Build the settings dataclass from parsed arguments.

    Raises:
        UsageError: a value is out of range, or a file or folder it names can't be read.
    """
    names = [field.name for field in dataclasses.fields(settings)]
    values = {name: getattr(args, name) for name in names}
    _check_paths(values)
    return settings(**values)


def _check_paths(values: dict[str, Any]) -> None:
    data_dir, archive = values["data_dir"], values.get("archive")
    split, weights = values.get("split", "random"), values.get("weights", "none")
    if data_dir is not None and not _is_readable_folder(data_dir):
        raise UsageError(
            f"--data-dir {data_dir} is not a readable folder: name one that holds prepared TFDS "
            "data sets, or leave it out to download"
        )
    if archive is not None and not zipfile.is_zipfile(archive):
        raise UsageError(f"--archive {archive} is not a zip file: name a EuroSAT.zip")
    if split not in NAMED_SPLITS and not _is_readable_folder(split):
        raise UsageError(
            f"--split is {split!r}: it must be one of {', '.join(NAMED_SPLITS)}, or a folder that "
            "holds train.txt, val.txt and test.txt"
        )
    if weights not in WEIGHTS and not (os.path.isfile(weights) and os.access(weights, os.R_OK)):
        raise UsageError(f"--weights is {weights!r}: it must be none, imagenet or a readable file")


def _is_readable_folder(path: str) -> bool:
    return os.path.isdir(path) and os.access(path, os.R_OK)


def check_table(args: argparse.Namespace, part: Part) -> None:
    """Check that nothing is asked for that the part's table sets itself.

    Raises:
        UsageError: something is; the message names it.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(part.settings)}
    for name in part.table_sets:
        if getattr(args, name) != defaults.get(name):
            word = flag(f"no_{name}" if defaults.get(name) is True else name)
            raise UsageError(f"{part.table} sets {word} itself: leave {word} out")


def run_script(parser: argparse.ArgumentParser, command: Callable[[Any], None]) -> int:
    """Parse the arguments, call the command with them, and return the exit code.

    0 success, 1 failure, 2 wrong call, 130 interrupted. An error prints one line on standard
    error; with --debug its traceback as well.
    """
    try:
        command(parser.parse_args())
        return 0
    except KeyboardInterrupt as error:
        return _report(parser.prog, "interrupted", error, 130)
    except RunError as error:
        return _report(parser.prog, str(error), error, error.exit_code)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _report(parser.prog, f"could not read or write: {what}", error, 1)
    except ModuleNotFoundError as error:
        return _report(parser.prog, f"{error}: install it with pip", error, 1)
    except Exception as error:  # a defect of ours: still one line, and how to see more
        what = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        return _report(parser.prog, what, error, 1)


def _report(prog: str, message: str, error: BaseException, code: int) -> int:
    if "--debug" in sys.argv[1:]:
        traceback.print_exception(error)
    line = "; ".join([message, *getattr(error, "__notes__", [])])
    print(f"{prog}: {' '.join(line.split())}", file=sys.stderr)
    return code
