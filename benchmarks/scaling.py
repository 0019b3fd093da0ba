"""Tell from a compiled training step how a network would train on many accelerators.

    KERAS_BACKEND=jax python -m benchmarks.scaling --networks mobilenetv2 resnet50v2

Each network's step is compiled by XLA for eight virtual devices, and what they exchange in it is
counted: numbers and bytes of its all-reduces. The rest is arithmetic on figures that are given:
each device computes its images at a share of its speed; then, one after the other, come the
all-reduces, in a ring: 2 (n - 1) / n of the bytes through the slowest link, and 2 log2(n) times
its latency each (Thakur et al. 2005, doi:10.1177/1094342005051521). Nothing overlaps, so the
efficiency, time of computing by time in all, is a lower bound by this model.
"""

import argparse
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import keras

from tfmodels.models.catalog import NETWORKS, build, network_spec
from tfmodels.models.flop import TRAINING, forward_flop
from tfmodels.report.tables import markdown_table

DEVICES = (8, 64, 256, 1024)
BYTES = {"f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "pred": 1}
REDUCTION = re.compile(r"= (.*?) all-reduce(?:-start)?\(")
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")


class Exchange(NamedTuple):
    """What the devices exchange in a step: number of all-reduces, and bytes of all together."""

    reductions: int
    bytes: int


def exchange(network: str) -> Exchange:
    """Compile a network's training step for eight virtual devices, and count its all-reduces."""
    with tempfile.TemporaryDirectory() as folder:
        options = (
            "--xla_force_host_platform_device_count=8",
            f"--xla_dump_to={folder}/hlo",
            "--xla_dump_hlo_as_text",
            "--xla_dump_hlo_module_re=.*train_step.*",
        )
        flags = f"--model {network} --data sample --limit 8 --batch-size 8 --epochs 1 --distribute"
        subprocess.run(
            [sys.executable, "-m", "tfmodels", "train", *flags.split(), "--out", f"{folder}/runs"],
            env=os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": " ".join(options)},
            check=True,
            capture_output=True,
        )
        (compiled,) = Path(folder, "hlo").glob("*train_step*after_optimizations.txt")
        return count(compiled.read_text())


def count(program: str) -> Exchange:
    """Return the all-reduces of a program in XLA's text form."""
    reductions = REDUCTION.findall(program)
    sizes = [
        BYTES[kind] * math.prod(int(side) for side in sides.split(",") if side)
        for shapes in reductions
        for kind, sides in ARRAY.findall(shapes)
    ]
    return Exchange(len(reductions), sum(sizes))


def main() -> None:
    """Count, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument(
        "--images", type=int, nargs="+", default=[128, 1024], help="in a device's share of a batch"
    )
    parser.add_argument("--tflops", type=float, default=990, help="a device's peak, TFLOP/s")
    parser.add_argument("--used", type=float, default=0.2, help="fraction of it that is reached")
    parser.add_argument("--depthwise-used", type=float, default=0.02, help="the same, depthwise")
    parser.add_argument("--inside", type=float, default=450, help="GB/s within 8 devices' machine")
    parser.add_argument("--between", type=float, default=50, help="GB/s between machines")
    parser.add_argument("--latency", type=float, default=5, help="of a link, microseconds")
    args = parser.parse_args()
    rows = []
    for network in args.networks:
        model = build(network, (64, 64, 3), 10, network_spec(network).image_size)
        flop = TRAINING * (forward_flop(model) or 0)
        depthwise = any(
            isinstance(layer, keras.layers.DepthwiseConv2D) for layer in model._flatten_layers()
        )
        used = args.depthwise_used if depthwise else args.used
        sent = exchange(network)
        for images in args.images:
            seconds = images * flop / (1e12 * args.tflops * used)
            row = [network, str(sent.reductions), f"{sent.bytes / 1e6:.1f}"]
            row += [f"{images:,}", f"{1000 * seconds:.1f}"]
            for devices in DEVICES:
                speed = 1e9 * (args.inside if devices <= 8 else args.between)
                ring = 2 * (devices - 1) / devices * sent.bytes / speed
                waits = sent.reductions * 2 * math.log2(devices) * 1e-6 * args.latency
                row.append(f"{100 * seconds / (seconds + ring + waits):.0f}")
            rows.append(row)
            print(row, file=sys.stderr)
    header = ["network", "all-reduces a step", "MB a step", "images a device", "ms of computing"]
    print(markdown_table([*header, *(f"{devices:,} devices, %" for devices in DEVICES)], rows))


if __name__ == "__main__":
    main()
