"""The commands, and the scripts that are one verb of them each.

TensorFlow is imported only after the arguments are known good, so `--help` and every
wrong argument answer at once.
"""

from collections.abc import Sequence
from typing import Any

from tfmodels import __version__
from tfmodels.commands.exporting import fill_exporting
from tfmodels.commands.fusing import fill_fusing
from tfmodels.commands.predicting import fill_mapping, fill_predicting
from tfmodels.commands.reading import fill_report, fill_results, fill_suspects, fill_verifying
from tfmodels.commands.searching import fill_searching
from tfmodels.commands.serving import fill_serving
from tfmodels.commands.training import TABLE1, TABLE3, fill_training
from tfmodels.terminal import Parser, run_command

EPILOG = "Defaults in brackets. What a run directory holds: docs/REFERENCE.md."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `tfmodels` and return the exit code."""
    parser = Parser(
        prog="tfmodels", description="Train, fuse, judge and compare networks.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"tfmodels {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    options: Any = {"allow_abbrev": False, "epilog": EPILOG}
    for verb, fill in (
        ("train", fill_training),
        ("search", fill_searching),
        ("fuse", fill_fusing),
        ("predict", fill_predicting),
        ("map", fill_mapping),
        ("export", fill_exporting),
        ("serve", fill_serving),
        ("report", fill_report),
        ("results", fill_results),
        ("suspects", fill_suspects),
        ("verify", fill_verifying),
    ):
        (text,) = (fill.__doc__ or "").splitlines()[:1]
        fill(verbs.add_parser(verb, help=text, description=text, **options))
    return run_command(parser, arguments)


def train_cifar(arguments: Sequence[str] | None = None) -> int:
    """Run train_cifar.py and return the exit code."""
    parser = _script("train_cifar.py", "Train a network on CIFAR-10 and judge it.")
    fill_training(parser, data="cifar10", table=TABLE1)
    return run_command(parser, arguments)


def train_eurosat(arguments: Sequence[str] | None = None) -> int:
    """Run train_eurosat.py and return the exit code."""
    parser = _script("train_eurosat.py", "Train a network on EuroSAT and judge it.")
    fill_training(parser, data="eurosat", table=TABLE3, sample="land-sample")
    return run_command(parser, arguments)


def fuse(arguments: Sequence[str] | None = None) -> int:
    """Run fuse.py and return the exit code."""
    parser = _script("fuse.py", "Fuse trained networks by their predictions.")
    fill_fusing(parser)
    return run_command(parser, arguments)


def report(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m tfmodels.report` and return the exit code."""
    parser = _script("python -m tfmodels.report", "Write one HTML page about runs.")
    fill_report(parser)
    return run_command(parser, arguments)


def _script(prog: str, description: str) -> Parser:
    return Parser(prog=prog, description=description, epilog=EPILOG, allow_abbrev=False)
