"""From a command line to settings, and from an error to one line and an exit code.

TensorFlow is imported only after the arguments are known good, so `--help` and every
wrong argument answer at once.
"""

import argparse
import dataclasses
import importlib
import os
import sys
import tempfile
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tfmodels.errors import RunError, UsageError
from tfmodels.settings import CifarSettings, flag

Settings = TypeVar("Settings")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def cifar_parser() -> argparse.ArgumentParser:
    """The arguments of train_cifar.py: the settings, where the run goes, and --table1."""
    parser = _Parser(
        prog="train_cifar.py",
        description="Train the study's VGG-style CNN on CIFAR-10 and judge it on the test split.",
        epilog="Defaults in brackets. What a run directory holds: README.md.",
        allow_abbrev=False,
    )
    _add_settings(parser, CifarSettings)
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="PATH", help="folder of the runs [runs]"
    )
    parser.add_argument("--name", help="name of the run directory [derived from the settings]")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a run directory of the same name"
    )
    parser.add_argument(
        "--table1", action="store_true", help="run the five settings of the study's Table 1"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


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


def settings_from(args: argparse.Namespace, settings: type[Settings]) -> Settings:
    """Build the settings dataclass from parsed arguments.

    Raises:
        UsageError: a value is out of range, or --data-dir is no readable folder.
    """
    names = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    data_dir = args.data_dir
    if data_dir is not None and not (os.path.isdir(data_dir) and os.access(data_dir, os.R_OK)):
        raise UsageError(
            f"--data-dir {data_dir} is not a readable folder: name one that holds prepared TFDS "
            "data sets, or leave it out to download"
        )
    return settings(**{name: getattr(args, name) for name in names})


def check_table1(args: argparse.Namespace) -> None:
    """Check that nothing is asked for that --table1 sets itself.

    Raises:
        UsageError: something is; the message names it.
    """
    for name in ("lr", "epochs", "step_decay", "name"):
        default = getattr(CifarSettings, name, None)
        if getattr(args, name) != default:
            word = "--no-step-decay" if name == "step_decay" else flag(name)
            raise UsageError(f"--table1 sets {word} itself: leave {word} out")


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
    except Exception as error:  # a defect of ours: still one line, and how to see more
        what = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        return _report(parser.prog, what, error, 1)


def _report(prog: str, message: str, error: BaseException, code: int) -> int:
    if "--debug" in sys.argv[1:]:
        traceback.print_exception(error)
    line = "; ".join([message, *getattr(error, "__notes__", [])])
    print(f"{prog}: {' '.join(line.split())}", file=sys.stderr)
    return code


def import_quietly(module: str) -> types.ModuleType:
    """Import a module that loads TensorFlow, without the start-up log of its C++ parts.

    That log goes straight to file descriptor 2 and can't be turned off by any setting
    (TensorFlow 2.21); it would bury our own messages. A failed import shows it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            imported = importlib.import_module(module)
            importlib.import_module("tensorflow").config.list_physical_devices()  # logs a lot
            return imported
        except Exception:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
