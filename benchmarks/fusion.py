"""Time and memory of fusing many predictions, and time of the bootstrap.

    python benchmarks/fusion.py

Fuses the predictions of 5 networks for 1,000,000 images of 10 classes by every rule that learns
nothing, and bootstraps two networks, their fusion and the oracle on 5,400 images.
"""

import functools
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from tfmodels.fusion.methods import LEARNING
from tfmodels.fusion.rules import METHODS
from tfmodels.fusion.significance import RESAMPLES, bootstrap
from tfmodels.report.tables import text_table

UNLEARNED = [method for method in METHODS if method not in LEARNING]


def measure(work: Callable[[], Any]) -> tuple[float, int]:
    """Return the seconds of the fastest of three calls, and the peak bytes of one more."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(seconds), peak


def main() -> None:
    """Measure all and print a table."""
    rng = np.random.default_rng(0)
    members = rng.random((5, 1_000_000, 10), np.float32)
    members /= members.sum(axis=2, keepdims=True)
    rows = []
    for method in UNLEARNED:
        rule, _ = METHODS[method](members, np.empty(0, int))
        seconds, peak = measure(functools.partial(rule, members))
        with_inputs = (members.nbytes + peak) / members.nbytes
        rows.append([f"{method}, 5 x 1,000,000 x 10", f"{seconds:.2f}", f"{with_inputs:.2f}"])
    labels = rng.integers(0, 10, 5400)
    predicted = [
        np.where(rng.random(5400) < 0.97, labels, rng.integers(0, 10, 5400)) for _ in range(4)
    ]
    seconds, _ = measure(lambda: bootstrap(labels, predicted, 10))
    rows.append(
        [f"bootstrap, {RESAMPLES:,} resamples of 5,400, 4 classifiers", f"{seconds:.2f}", ""]
    )
    print(text_table(["what", "seconds", "memory with inputs / inputs"], rows))


if __name__ == "__main__":
    main()
