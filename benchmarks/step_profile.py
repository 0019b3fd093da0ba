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

import keras
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.speed import random_images
from tfmodels.data.images import Split
from tfmodels.data.pipeline import training_batches
from tfmodels.models.catalog import build
from tfmodels.recipes import RECIPES, configure
from tfmodels.report.tables import markdown_table
from tfmodels.training.batch_norm import fused_batch_norms
from tfmodels.training.optimizers import build_loss, build_optimizer

SHOWN = 12  # operations


def profile(recipe: str, folder: Path) -> int:
    """Train the network of a recipe, profile an epoch, and return its steps."""
    config = configure(recipe)
    keras.config.set_dtype_policy(config.precision)
    images, labels = random_images(config.batch_size)
    split = Split(images, labels.astype(str), labels)
    model = build(config.model or "vgg", (32, 32, 3), 10, 32)
    model.compile(build_optimizer(config, 1000), build_loss(config), metrics=["accuracy"])
    batches = training_batches(split, config.batch_size, (0,))
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
    parser.add_argument("recipe", choices=RECIPES)
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
