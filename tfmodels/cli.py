"""The commands: from a command line to settings, and to the part of the library that does it.

TensorFlow is imported only after the arguments are known good, so `--help` and every
wrong argument answer at once.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfmodels import __version__
from tfmodels.config import SOURCES, Config, flag, kind
from tfmodels.errors import UsageError
from tfmodels.fusion.methods import METHODS
from tfmodels.recipes import RECIPES, configure, run_name
from tfmodels.runs.directory import check_writable, run_path
from tfmodels.runs.environment import import_quietly
from tfmodels.runs.lock import MARKER
from tfmodels.runs.manifest import MANIFEST
from tfmodels.terminal import Parser, as_flags, run_command

if TYPE_CHECKING:  # NumPy takes half the time of `--help`
    from tfmodels.runs.contents import Run


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the study, which one flag of its script fills.

    `run` is a function of `study.tables`, named because importing it loads TensorFlow; `sets` are
    the settings that differ between its rows, `recipes` those it can have, the default first, and
    `weights` the networks whose ImageNet weights can be files.
    """

    flag: str
    help: str
    run: str
    sets: tuple[str, ...]
    recipes: tuple[str, ...] = ("study",)
    weights: tuple[str, ...] = ()


TABLE1 = Table(
    "--table1",
    "run the five settings of the study's Table 1",
    "run_table1",
    ("lr", "epochs", "schedule", "name"),
)
TABLE3 = Table(
    "--table3",
    "run the four networks of the study's Table 3 and fuse the pretrained two",
    "run_table3",
    ("model", "weights", "trainable", "image_size", "name"),
    ("tuned", "study"),
    ("mobilenetv2", "alexnet"),
)


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
        ("fuse", fill_fusing),
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


EPILOG = "Defaults in brackets. What a run directory holds: README.md."


def _script(prog: str, description: str) -> Parser:
    return Parser(prog=prog, description=description, epilog=EPILOG, allow_abbrev=False)


def fill_training(
    parser: argparse.ArgumentParser,
    data: str = "cifar10",
    table: Table | None = None,
    sample: str = "sample",
) -> None:
    """Train a network, judge it on the test split, and leave a run directory."""
    schedule = parser.add_mutually_exclusive_group()
    for field in dataclasses.fields(Config):
        _add_setting(schedule if field.name == "schedule" else parser, field, data)
    schedule.add_argument(
        "--no-step-decay",
        dest="schedule",
        action="store_const",
        const="constant",
        default=argparse.SUPPRESS,
        help="keep the learning rate constant, as --schedule constant",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="make a run for each of these seeds, and show their mean and spread",
    )
    if table:
        parser.add_argument(table.flag, dest="table", action="store_true", help=table.help)
        for network in table.weights:
            text = f"of {table.flag}: file of {network}'s ImageNet weights [download]"
            parser.add_argument(f"--weights-{network}", metavar="PATH", help=text)
    _add_run_flags(parser)

    def command(args: argparse.Namespace) -> None:
        """Train one run, or one for each seed, or fill the table."""
        given = {field.name for field in dataclasses.fields(Config)} & vars(args).keys()
        settings = {"data": data} | {name: getattr(args, name) for name in given}
        if settings["data"] == "sample":
            settings["data"] = sample
        config = configure(**settings)
        config.check_files()
        seeds = check_seeds(args, config)
        files = check_weights(args, table) if table else {}
        if table and args.table:
            check_table(args, table)
            check_writable(args.out)
            study = import_quietly("tfmodels.study.tables")
            options = {"files": files} if table.weights else {}
            print(getattr(study, table.run)(settings, args.out, args.overwrite, seeds, **options))
        elif args.seeds:
            _train_seeds(config, seeds, args.out, args.overwrite)
        else:
            _train(config, args.out, args.name, args.overwrite)

    parser.set_defaults(command=command, parser=parser)


def _train(config: Config, out: Path, name: str | None, overwrite: bool) -> None:
    path = run_path(out, run_name(config) if name is None else name)
    from tfmodels.runs.continuation import check_settings

    check_settings(path, dataclasses.asdict(config), overwrite)
    experiment = import_quietly("tfmodels.experiment")
    run = experiment.run(config, out=out, name=path.name, overwrite=overwrite)
    print(import_quietly("tfmodels.report.tables").summary(run))
    print(f"report: {run / 'report.html'}")


def _train_seeds(config: Config, seeds: Sequence[int], out: Path, overwrite: bool) -> None:
    check_writable(out)
    runs = import_quietly("tfmodels.series").run_seeds(config, seeds, out, overwrite)
    print(import_quietly("tfmodels.report.seeds").seeds_table(runs))
    print(f"runs: {', '.join(map(str, runs))}")


def _add_setting(
    parser: "argparse._ActionsContainer", field: "dataclasses.Field[Any]", data: str
) -> None:
    text, choices = field.metadata["help"], field.metadata["choices"]
    if field.name == "recipe":
        choices = tuple(RECIPES)
    default = data if field.name == "data" else field.default
    path = "PATH" if field.name in SOURCES else "NAME|PATH"
    if kind(field) is bool:
        parser.add_argument(
            flag(field.name),
            dest=field.name,
            action=argparse.BooleanOptionalAction,
            default=argparse.SUPPRESS,
            help=text,
        )
        return
    parser.add_argument(
        flag(field.name),
        dest=field.name,
        type=kind(field),
        default=argparse.SUPPRESS,
        metavar="NAME" if choices else {int: "N", float: "X", str: path}[kind(field)],
        help=": ".join([text, *([", ".join(choices)] if choices else [])])
        + ("" if default is None else f" [{default}]"),
    )


def check_seeds(args: argparse.Namespace, config: Config) -> list[int]:
    """Return the seeds of the runs: those of `--seeds`, or that of the config.

    Raises:
        UsageError: they are out of range or repeated, or a run can't be named by them.
    """
    if args.seeds is None:
        return [config.seed]
    for name in ("seed", "name"):
        if getattr(args, name, None) is not None:
            raise UsageError(f"`seeds` makes a run for each seed: leave `{name}` out")
    if len(set(args.seeds)) < len(args.seeds):
        raise UsageError(f"`seeds` are {args.seeds}: each must be there once")
    for seed in args.seeds:
        dataclasses.replace(config, seed=seed)
    found: list[int] = args.seeds
    return found


def check_weights(args: argparse.Namespace, table: Table) -> dict[str, str]:
    """Return the files of ImageNet weights that a table is to start from, by network.

    Raises:
        UsageError: no table is asked for, or a file can't be read.
    """
    files = {}
    for network in table.weights:
        file = getattr(args, f"weights_{network}")
        if file is not None:
            if not args.table:
                raise UsageError(f"--weights-{network} is of {table.flag}: name `weights` instead")
            Config(model=network, weights=file).check_files()
            files[network] = file
    return files


def check_table(args: argparse.Namespace, table: Table) -> None:
    """Check that nothing is asked for that the table sets itself.

    Raises:
        UsageError: something is; the message names it.
    """
    for name in table.sets:
        if getattr(args, name, None) is not None:
            raise UsageError(f"{table.flag} sets `{name}` itself: leave `{name}` out")
    recipe = getattr(args, "recipe", table.recipes[0])
    if recipe not in table.recipes:
        listed = " or ".join(table.recipes)
        raise UsageError(f"`recipe` is {recipe!r}: {table.flag} has it as {listed}")


def fill_fusing(parser: argparse.ArgumentParser) -> None:
    """Fuse trained networks by their predictions, and test whether it helps."""
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="run directories, two or more [the newest pretrained two of Part 2]",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="sum",
        help="fusion rule [sum]; power, weighted and stacking learn from the validation images",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="fit the fusion's confidence to the validation images by a temperature",
    )
    parser.add_argument(
        "--all-methods", action="store_true", help="compare all methods in a table, keeping no run"
    )
    _add_run_flags(parser)

    def command(args: argparse.Namespace) -> None:
        """Fuse once, or compare all methods."""
        if args.all_methods and (args.method != "sum" or args.name is not None):
            word = "name" if args.name is not None else "method"
            raise UsageError(f"`all_methods` makes a table of all methods: leave `{word}` out")
        if args.name is not None:
            run_path(args.out, args.name)
        check_writable(args.out)
        from tfmodels.fusion.members import find_pretrained, group_by_split, load_members

        runs = args.runs or find_pretrained(args.out)
        groups = group_by_split(runs)
        if len(groups) > 1:
            if args.all_methods or args.name is not None:
                word = "name" if args.name is not None else "all_methods"
                raise UsageError(f"runs of several splits are fused one by one: leave `{word}` out")
            from tfmodels.fusion.splits import fuse_splits

            print(fuse_splits(groups, args.method, args.calibrate, args.out, args.overwrite))
            return
        members = load_members(runs)
        from tfmodels.fusion import combine  # SciPy and scikit-learn take seconds

        if args.all_methods:
            print(combine.table_of_methods(members, args.calibrate, args.out))
            return
        path = combine.fusion_path(args.out, members, args.method, args.calibrate)
        if args.name is not None:
            path = run_path(args.out, args.name)
        result = combine.run_fusion(members, args.method, args.calibrate, path, args.overwrite)
        print(as_flags(result))
        print(f"report: {path / 'report.html'}")

    parser.set_defaults(command=command, parser=parser)


def fill_report(parser: argparse.ArgumentParser) -> None:
    """Write one HTML page about a run, or several beside each other."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="file to write [report.html in the run, or here for several]",
    )
    _add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Check what is asked for, and write the page."""
        runs = [_open_run(run) for run in args.runs]
        default = (args.runs[0] if len(args.runs) == 1 else Path()) / "report.html"
        path = args.out or default
        _check_page(path, args.runs)
        from tfmodels.report.page import write_report

        write_report(runs, path)
        print(f"report: {path}")

    parser.set_defaults(command=command, parser=parser)


def _check_page(path: Path, own: Sequence[Path]) -> None:
    """Check that a page can be written: not into a run, but as the report of the only one.

    Raises:
        UsageError: it can't.
    """
    if path.is_dir():
        raise UsageError(f"`out` {path} is a folder: name a file, such as report.html in it")
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
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="PATH", help="run directories, or folders of them"
    )
    _add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Print the tables."""
        from tfmodels.report.seeds import results

        print(results(args.runs))

    parser.set_defaults(command=command, parser=parser)


def fill_suspects(parser: argparse.ArgumentParser) -> None:
    """Write a page of test images whose label all runs contradict, to find wrong labels."""
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
    _add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Check what is asked for, and write the page."""
        _check_page(args.out, [])
        from tfmodels.report.seeds import find_runs
        from tfmodels.report.suspects import write_suspects
        from tfmodels.runs.contents import open_run

        print(write_suspects([open_run(run) for run in find_runs(args.runs)], args.out))
        print(f"page: {args.out}")

    parser.set_defaults(command=command, parser=parser)


def fill_verifying(parser: argparse.ArgumentParser) -> None:
    """Check that runs are what they say: their files, their metrics and their predictions."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")
    _add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Check one run after the other; the first fault ends it."""
        from tfmodels.runs.contents import open_run

        for run in args.runs:
            open_run(run)
        verify = import_quietly("tfmodels.verify").verify
        for run in args.runs:
            print(run)
            for line in verify(run):
                print(f"  {line}")

    parser.set_defaults(command=command, parser=parser)


def _open_run(path: Path) -> "Run":
    from tfmodels.runs.contents import open_run, open_unfinished

    return open_unfinished(path) if path.resolve().suffix == ".incomplete" else open_run(path)


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="PATH", help="folder of the runs [runs]"
    )
    parser.add_argument("--name", help="name of the run directory [derived from the settings]")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start over, and replace a run directory of the same name",
    )
    _add_debug(parser)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
