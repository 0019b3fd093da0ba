"""Export the network of a run."""

import argparse
from pathlib import Path

from tfmodels.export.formats import FORMATS, check_new
from tfmodels.runs.directory import check_writable
from tfmodels.runs.environment import import_quietly
from tfmodels.terminal import add_debug


def fill_exporting(parser: argparse.ArgumentParser) -> None:
    """Export the network of a run for other runtimes, and check the file in its own."""
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument(
        "--format", choices=FORMATS, default="onnx", help="file format of the network [onnx]"
    )
    parser.add_argument(
        "--quantize",
        choices=("float16", "int8"),
        help="round weights, and with int8 activations, after training; needs the run's data "
        "[float32]",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="folder to write, which predict and map take in place of a run [exports/RUN-FORMAT]",
    )
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Export the network, and print how it compares."""
        from tfmodels.runs.contents import open_run

        run = open_run(args.run)
        parts = [args.run.resolve().name, args.format, args.quantize]
        out = args.out or Path("exports") / "-".join(filter(None, parts))
        check_writable(out.parent)
        check_new(out)
        export = import_quietly("tfmodels.export.export")
        check = export.export_run(run, args.format, out, args.quantize)
        print(f"{check.images} test images: probabilities differ by up to {check.difference:.2g}")
        print(f"the same class:  {check.agreement:.2%}")
        if check.accuracy:
            before, after = check.accuracy
            print(f"on validation:   {after:.2%} right, {before:.2%} before rounding")
        print(f"images a second: {check.speed:,.0f}, {check.ratio:.2f} times as many as Keras")
        print(f"size:            {check.size / 2**20:.1f} MiB")
        print(f"export: {out}")

    parser.set_defaults(command=command, parser=parser)
