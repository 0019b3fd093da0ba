"""Search for good settings."""

import argparse
from pathlib import Path
from typing import Any

from tfmodels.commands.training import add_settings, check_seeds, given_settings
from tfmodels.config import Config
from tfmodels.errors import RunError, UsageError
from tfmodels.recipes import configure
from tfmodels.runs.directory import check_writable
from tfmodels.runs.environment import import_quietly
from tfmodels.search.space import STUDIES, Dimension, check_values, parse_space
from tfmodels.terminal import add_debug


def fill_searching(parser: argparse.ArgumentParser) -> None:
    """Search for good settings on validation, with Optuna."""
    parser.add_argument(
        "--space",
        nargs="+",
        default=[],
        metavar="NAME=VALUES",
        help="settings to search: lr=log:1e-4:1e-2 batch_size=16:128 model=vgg,mobilenetv2 "
        "augment=yes,no; all other settings are those of the flags below",
    )
    parser.add_argument(
        "--study",
        choices=STUDIES,
        help="search what the study searched by hand, the layers of its CNN",
    )
    parser.add_argument(
        "--trials", type=int, default=20, metavar="N", help="trials in all, of all processes [20]"
    )
    parser.add_argument(
        "--sampler",
        choices=("tpe", "random"),
        default="tpe",
        help="what chooses: the tree-structured Parzen estimator, or chance [tpe]",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="train with the best settings on these seeds afterwards",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/search"),
        metavar="PATH",
        help="folder of the search, which goes on where it is there [runs/search]",
    )
    add_debug(parser)
    add_settings(parser, "cifar10")

    def command(args: argparse.Namespace) -> None:
        """Check what is searched, run the trials, and show what came of them."""
        settings = given_settings(args, "cifar10")
        space = check_space(args, settings)
        seeds = check_seeds(args, Config()) if args.seeds else []
        check_writable(args.out)
        module = import_quietly("tfmodels.search.search")
        write_page = import_quietly("tfmodels.search.page").write_page
        search = module.Search(space, settings, args.sampler)
        found = module.run_trials(
            search, args.out, args.trials, lambda study: write_page(search, study, args.out)
        )
        print(write_page(search, found, args.out))
        best = module.completed(found)
        if not best:
            raise RunError(f"no trial of {args.out} was trained to the end: see search.html there")
        if seeds and module.running(found):
            raise RunError(
                "other processes still train: give this command again when they are done"
            )
        if seeds:
            config = configure(**search.settings_of(best[0].params))
            runs = import_quietly("tfmodels.series").run_seeds(config, seeds, args.out)
            print(import_quietly("tfmodels.report.seeds").seeds_table(runs))

    parser.set_defaults(command=command, parser=parser)


def check_space(args: argparse.Namespace, settings: dict[str, Any]) -> list[Dimension]:
    """Return what is searched.

    Raises:
        UsageError: nothing is, or a value can't be right, or is set by a flag too.
    """
    space = [*STUDIES.get(args.study, ()), *parse_space(args.space)]
    if not space:
        raise UsageError("nothing is searched: name settings with `space`, or a `study`")
    if args.trials < 1:
        raise UsageError(f"`trials` is {args.trials}: it must be a whole number from 1 up")
    searched = [dimension.name for dimension in space] + ["model"] * bool(args.study)
    for name in searched:
        if name in settings or searched.count(name) > 1:
            raise UsageError(f"`{name}` is searched already: leave it out")
    check_values(space, settings)
    return space
