"""Parsers whose errors are one line, in the words of the command line, and an exit code."""

import argparse
import dataclasses
import difflib
import errno
import io
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tfmodels.config import Config, flag
from tfmodels.errors import Interrupted, RunError, UsageError

OTHER_FLAGS = (
    *("out", "name", "overwrite", "seeds", "method", "calibrate", "all_methods"),
    *(
        "distribute",
        "space",
        "study",
        "trials",
        "stride",
        "bands",
        "values",
        "quantize",
        "host",
        "port",
    ),
)
AT_FAILURE: list[Callable[[int], None]] = []  # what to do with the exit code of a failure


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError`, which `run_command` reports."""

    def error(self, message: str) -> NoReturn:
        """Report a wrong argument as every other wrong call is."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def run_command(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the command they name, and return the exit code.

    0 success, 1 failure, 2 wrong call, 128 and the number of the signal if it was stopped by one
    (130 by Ctrl-C, 143 by SIGTERM). An error prints one line on standard error; with --debug its
    traceback as well.
    """
    _prepare_process()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    cause: BaseException
    try:
        for argument in arguments:
            if argument.endswith("=--"):  # argparse would make it an empty list
                raise UsageError(f"argument {argument.removesuffix('=--')}: its value is missing")
        args, unknown = parser.parse_known_args(arguments)
        if unknown:
            raise UsageError(_unknown(unknown[0], args.parser))
        args.command(args)
        return 0
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
        code, message, cause = 128 + number, str(error) or "interrupted", error
    except RunError as error:
        code, message, cause = error.exit_code, str(error), error
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        code = 2 if error.errno == errno.ENAMETOOLONG else 1  # a name of the user's
        message, cause = f"could not read or write: {what}", error
    except ModuleNotFoundError as error:
        code, message, cause = 1, f"{error}: install it with pip", error
    except Exception as error:  # a defect of ours: still one line, and how to see more
        what = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        code, message, cause = 1, what, error
    if "--debug" in arguments:
        traceback.print_exception(cause)
    return _fail(parser.prog, message, cause, code)


def _fail(prog: str, message: str, cause: BaseException, code: int) -> int:
    """Print what is wrong, and what was noted of it, as one line, and return the exit code."""
    line = as_flags("; ".join([message, *getattr(cause, "__notes__", [])]))
    printable = "".join(char if char.isprintable() else " " for char in line)
    print(f"{prog}: {' '.join(printable.split())}", file=sys.stderr)
    for act in AT_FAILURE:
        act(code)
    return code


def _prepare_process() -> None:
    """Have SIGTERM end the command in order, and names be printed that a terminal can't show."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted("terminated", number)


def _unknown(argument: str, parser: argparse.ArgumentParser) -> str:
    word = argument.split("=", maxsplit=1)[0]
    flags = [option for action in parser._actions for option in action.option_strings]
    close = difflib.get_close_matches(word, flags, n=1, cutoff=0.75)
    hint = f": did you mean {close[0]}?" if close else ""
    return f"unknown argument {word}{hint} (see {parser.prog} --help)"


def as_flags(message: str) -> str:
    """Return a message with its parameters, `name` or `name=value`, as flags."""
    names = {field.name for field in dataclasses.fields(Config)} | {*OTHER_FLAGS}

    def as_flag(match: "re.Match[str]") -> str:
        """Return one parameter as a flag, and other words in backquotes as they are."""
        name, value = match.groups()
        if name not in names:
            return match[0]
        return flag(name) if value in (None, "True") else f"{flag(name)} {value}"

    return re.sub(r"`(\w+)(?:=([^`]*))?`", as_flag, message)


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of commands that make runs."""
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="PATH", help="folder of the runs [runs]"
    )
    parser.add_argument("--name", help="name of the run directory [derived from the settings]")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start over, and replace a run directory of the same name",
    )
    add_debug(parser)


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add the flag of all commands."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
