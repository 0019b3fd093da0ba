"""Measure the seconds of `--help`, of a refused flag, and from the command to the first step.

    python -m benchmarks.startup --data-dir FOLDER

The first step is that of `python train_cifar.py --recipe NAME` on the whole data set, which the
first, unmeasured run keeps decoded in the cache.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from tfmodels.report.tables import markdown_table

# Ends the process after the first step, in which the network is compiled.
FIRST_STEP = """
import os
from tfmodels.training import callbacks
callbacks.LossCheck.on_train_batch_end = lambda self, batch, logs=None: os._exit(0)
from tfmodels.cli import train_cifar
train_cifar()
"""


def seconds(arguments: list[str], expected: int) -> float:
    """Return how long a Python process takes, which must end with the expected exit code."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True)
    if done.returncode != expected:
        raise SystemExit(done.stderr)
    return time.perf_counter() - started


def main() -> None:
    """Measure each command several times and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.data_dir:
        os.environ["TFDS_DATA_DIR"] = args.data_dir
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cases = [
            ("`train_cifar.py --help`", ["train_cifar.py", "--help"], 0),
            ("`train_cifar.py --lr -1`", ["train_cifar.py", "--lr", "-1"], 2),
            *(
                (f"first step, {recipe}", ["-c", FIRST_STEP, "--recipe", recipe, "--out"], 0)
                for recipe in ("study", "instant")
            ),
        ]
        for name, arguments, expected in cases:
            times = []
            for number in range(-1, args.repeats):
                out = [f"{folder}/{number}"] if arguments[-1] == "--out" else []
                times.append(seconds([*arguments, *out], expected))
            times = times[1:]
            extent = f"{min(times):.2f} to {max(times):.2f}"
            rows.append([name, f"{statistics.median(times):.2f}", extent])
    print(markdown_table(["command", f"seconds, median of {args.repeats}", "range"], rows))


if __name__ == "__main__":
    main()
