"""Train AlexNet or MobileNetV2 on EuroSAT. README.md says what it needs and leaves behind."""

import argparse
import sys

from tfmodels import cli, runs
from tfmodels.settings import EurosatSettings


def main(args: argparse.Namespace) -> None:
    settings = cli.settings_from(args, EurosatSettings)
    if args.table3:
        cli.check_table(
            args, EurosatSettings, "--table3", ("model", "weights", "train", "image_size", "name")
        )
        runs.check_writable(args.out)
        study = cli.import_quietly("tfmodels.study")
        print(study.run_table3(settings, args.out, args.overwrite))
        return
    path = runs.run_path(args.out, settings.run_name() if args.name is None else args.name)
    runs.check_free(path, args.overwrite)
    experiments = cli.import_quietly("tfmodels.experiments")
    print(experiments.run_eurosat(settings, path, args.overwrite))
    print(f"run directory: {path}")


if __name__ == "__main__":
    sys.exit(cli.run_script(cli.eurosat_parser(), main))
