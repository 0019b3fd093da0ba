"""Train the study's CNN on CIFAR-10. README.md says what it needs and what it leaves behind."""

import argparse
import sys

from tfmodels import cli, runs
from tfmodels.settings import CifarSettings


def main(args: argparse.Namespace) -> None:
    settings = cli.settings_from(args, CifarSettings)
    if args.table1:
        cli.check_table(args, CifarSettings, "--table1", ("lr", "epochs", "step_decay", "name"))
        runs.check_writable(args.out)
        study = cli.import_quietly("tfmodels.study")
        print(study.run_table1(settings, args.out, args.overwrite))
        return
    path = runs.run_path(args.out, settings.run_name() if args.name is None else args.name)
    runs.check_free(path, args.overwrite)
    experiments = cli.import_quietly("tfmodels.experiments")
    print(experiments.run_cifar(settings, path, args.overwrite))
    print(f"run directory: {path}")


if __name__ == "__main__":
    sys.exit(cli.run_script(cli.cifar_parser(), main))
