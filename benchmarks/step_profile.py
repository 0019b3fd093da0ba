"""Print which of TensorFlow's operations a training step's time goes to.

    python -m benchmarks.step_profile fast

Trains the network of a recipe on random images under TensorFlow's profiler. Operations run one
after another, each on all cores; those inside others, such as a call of the whole step, are left
out.
"""

import argparse
import collections
import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.speed import ROWS, keras_training
from tfmodels.recipes import configure
from tfmodels.report.tables import markdown_table
from tfmodels.training.batch_norm import fused_batch_norms

SHOWN = 12  # operations


def profile(recipe: str, folder: Path) -> int:
    """Train the network of a recipe, profile an epoch, and return its steps."""
    model, batches = keras_training(configure(recipe))
    with fused_batch_norms(model):
        model.fit(batches, verbose=0)
        with tf.profiler.experimental.Profile(str(folder)):
            model.fit(batches, verbose=0)
    return len(batches)


def operations(folder: Path) -> collections.Counter[str]:
    """Return the milliseconds of each kind of operation in a profile."""
    (path,) = folder.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    total: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # All else is the runtime's own, or the input's, which runs beside the step.
                name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if name.startswith("StatefulPartitionedCall/"):
                    kind = kind.removeprefix("_MklNative").removeprefix("_Mkl")
                    total[kind] += event.duration_ps / 1e9
    return total


def main() -> None:
    """Profile and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", choices=[name for name, _ in ROWS])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        steps = profile(args.recipe, Path(name))
        total = operations(Path(name))
    whole = sum(total.values())
    rows = [
        [kind, f"{time / steps:.2f}", f"{time / whole:.0%}"]
        for kind, time in total.most_common(SHOWN)
    ]
    print(markdown_table([f"{args.recipe}: operation", "ms a step", "share"], rows))


if __name__ == "__main__":
    main()
