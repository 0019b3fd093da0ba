"""Train: a run, a run for each of several seeds, or a table of the study."""

import argparse
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfmodels.config import SOURCES, Config, flag, kind
from tfmodels.errors import UsageError
from tfmodels.recipes import RECIPES, configure, run_name
from tfmodels.runs.directory import check_writable, run_path
from tfmodels.runs.environment import import_quietly
from tfmodels.terminal import add_run_flags


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


def fill_training(
    parser: argparse.ArgumentParser,
    data: str = "cifar10",
    table: Table | None = None,
    sample: str = "sample",
) -> None:
    """Train a network, judge it on the test split, and leave a run directory."""
    add_settings(parser, data)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="make a run for each of these seeds, and show their mean and spread",
    )
    add_distribution(parser)
    if table:
        parser.add_argument(table.flag, dest="table", action="store_true", help=table.help)
        for network in table.weights:
            text = f"of {table.flag}: file of {network}'s ImageNet weights [download]"
            parser.add_argument(f"--weights-{network}", metavar="PATH", help=text)
    add_run_flags(parser)

    def command(args: argparse.Namespace) -> None:
        """Train one run, or one for each seed, or fill the table."""
        settings = given_settings(args, data)
        if settings["data"] == "sample":
            settings["data"] = sample
        recipe = {"recipe": table.recipes[0]} if table and args.table else {}
        config = configure(**(recipe | settings))
        config.check_files()
        seeds = check_seeds(args, config)
        files = check_weights(args, table) if table else {}
        check_distribution(args)
        if table and args.table:
            check_table(args, table)
            check_writable(args.out)
            study = import_quietly("tfmodels.study.tables")
            options = {"files": files} if table.weights else {}
            print(getattr(study, table.run)(settings, args.out, args.overwrite, seeds, **options))
        elif args.seeds:
            _train_seeds(config, seeds, args.out, args.overwrite)
        else:
            _train(config, args)

    parser.set_defaults(command=command, parser=parser)


def add_settings(parser: argparse.ArgumentParser, data: str) -> None:
    """Add the flags of all settings; those that aren't given leave nothing behind."""
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


def given_settings(args: argparse.Namespace, data: str) -> dict[str, Any]:
    """Return the settings that are given, and the data set."""
    given = {field.name for field in dataclasses.fields(Config)} & vars(args).keys()
    return {"data": data} | {name: getattr(args, name) for name in given}


def add_distribution(parser: argparse.ArgumentParser) -> None:
    """Add the flags of trainings that several devices share."""
    parser.add_argument(
        "--distribute",
        action="store_true",
        help="share each batch among all devices, and the processes that SLURM or Kubernetes' "
        "JobSet started; needs KERAS_BACKEND=jax",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="share it among N processes, started by hand"
    )
    parser.add_argument(
        "--process-id", type=int, metavar="N", help="number of this process, from 0"
    )
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="where process 0 listens, the same for all"
    )


def check_distribution(args: argparse.Namespace) -> None:
    """Check the flags of trainings that several devices share.

    Raises:
        UsageError: the flags don't go together.
    """
    by_hand = args.processes, args.process_id, args.coordinator
    if by_hand != (None, None, None):
        if None in by_hand:
            raise UsageError("--processes, --process-id and --coordinator go together: name all")
        if args.processes < 1 or not 0 <= args.process_id < args.processes:
            raise UsageError(
                f"--process-id is {args.process_id}: it must be from 0 to below --processes, "
                f"{args.processes}"
            )
        if not re.fullmatch(r"\S+:\d+", args.coordinator):
            raise UsageError(f"--coordinator is {args.coordinator!r}: it must be HOST:PORT")
    elif not args.distribute:
        return
    if args.seeds or getattr(args, "table", False):
        raise UsageError("`distribute` shares one run: leave `seeds` and tables out")


def _train(config: Config, args: argparse.Namespace) -> None:
    path = run_path(args.out, run_name(config) if args.name is None else args.name)
    if args.process_id in (None, 0):  # of several processes one looks, before anything is loaded
        from tfmodels.runs.continuation import check_settings

        check_settings(path, dataclasses.asdict(config), args.overwrite)
    if args.distribute or args.processes:
        distribution = import_quietly("tfmodels.training.distribution")
        distribution.start(args.processes, args.process_id, args.coordinator)
    experiment = import_quietly("tfmodels.experiment")
    run = experiment.run(config, out=args.out, name=path.name, overwrite=args.overwrite)
    if not experiment.is_first():
        return
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
