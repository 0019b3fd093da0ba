"""Measure what keeping a training costs: state and history after each epoch.

    python benchmarks/saving.py --data cifar10 --data-dir FOLDER --epochs 2

Trains the same network in turn with all that is kept and with nothing kept, in one process, and
prints the seconds of each pair, their ratio, and the seconds that saving itself took.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from tfmodels.data.images import load_data
from tfmodels.experiment import build_network
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table
from tfmodels.training.callbacks import Checkpoint
from tfmodels.training.fit import train_model


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return the function, which adds the seconds that it takes to a list."""

    def call(*args: Any) -> Any:
        """Call the function."""
        started = time.monotonic()
        try:
            return function(*args)
        finally:
            seconds.append(time.monotonic() - started)

    return call


def main() -> None:
    """Train in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir")
    parser.add_argument("--model", default=None)
    parser.add_argument("--image-size", type=int, default=None)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    args = vars(parser.parse_args())
    pairs = args.pop("pairs")
    config = configure(**args)
    data = load_data(config)
    rows, ratios, shares = [], [], []
    for number in range(pairs):
        seconds: dict[str, float] = {}
        saving: list[float] = []
        for kept in ("all", "nothing") if number % 2 else ("nothing", "all"):
            keras.utils.set_random_seed(0)
            model = build_network(config, data)
            with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
                end_epoch = timed(Checkpoint.on_epoch_end, saving) if kept == "all" else _keep_none
                patch.setattr(Checkpoint, "on_epoch_end", end_epoch)
                if kept == "nothing":
                    patch.setattr(Checkpoint, "finish", lambda *_, **__: None)
                started = time.monotonic()
                train_model(model, data, config, Path(folder))
                seconds[kept] = time.monotonic() - started
        ratios.append(seconds["all"] / seconds["nothing"])
        shares.append(sum(saving) / seconds["all"])
        cells = (seconds["all"], seconds["nothing"], ratios[-1], sum(saving), 100 * shares[-1])
        rows.append([f"{cell:.3g}" for cell in cells])
    print(
        markdown_table(["all kept, s", "nothing kept, s", "ratio", "saving, s", "saving, %"], rows)
    )
    print(f"mean ratio {statistics.mean(ratios):.3f}, saving {100 * statistics.mean(shares):.2f} %")


def _keep_none(self: Checkpoint, epoch: int, logs: dict[str, Any] | None = None) -> None:
    self.state.epoch, self.state.step = epoch + 1, 0


if __name__ == "__main__":
    main()
