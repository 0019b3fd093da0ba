"""Export the networks of runs in every format, and print how they compare with Keras.

    python -m benchmarks.exports runs/ONE runs/OTHER

Speeds are of batches of 64 images on all cores, the best of five rounds in turn with Keras; the
ratio is to Keras' in the same rounds. Accuracy is on validation, of one view.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tfmodels.errors import RunError
from tfmodels.export.export import export_run
from tfmodels.export.formats import FORMATS, QUANTIZED
from tfmodels.report.tables import markdown_table, percent
from tfmodels.runs.contents import Run, open_run

HEADER = ("network", "format", "images/s", "to Keras", "MiB", "same class, %", "validation, %")


def row(run: Run, form: str, quantize: str | None) -> list[str]:
    """Export a network, and return a row of the table."""
    name = " ".join(filter(None, (form, quantize)))
    with tempfile.TemporaryDirectory() as folder:
        try:
            check = export_run(run, form, Path(folder) / "export", quantize)
        except RunError as error:
            return [str(run.config["settings"]["model"]), name, *[""] * 4, str(error)]
    return [
        str(run.config["settings"]["model"]),
        name,
        f"{check.speed:,.0f}",
        f"{check.ratio:.2f}",
        f"{check.size / 2**20:.1f}",
        percent(check.agreement),
        percent(check.accuracy[1]) if check.accuracy else "",
    ]


def main() -> None:
    """Export, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--quantize", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    rows = []
    for path in args.runs:
        for form in args.only:
            for quantize in (None, *(QUANTIZED.get(form, ()) if args.quantize else ())):
                rows.append(row(open_run(path), form, quantize))
                print(rows[-1], file=sys.stderr)
    print(markdown_table(HEADER, rows))


if __name__ == "__main__":
    main()
