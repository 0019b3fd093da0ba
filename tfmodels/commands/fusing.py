"""Fuse trained networks."""

import argparse
from pathlib import Path

from tfmodels.errors import UsageError
from tfmodels.fusion.methods import METHODS
from tfmodels.runs.directory import check_writable, run_path
from tfmodels.terminal import add_run_flags, as_flags


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
    add_run_flags(parser)

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
