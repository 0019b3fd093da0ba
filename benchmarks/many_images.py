"""Prepare a data set of many images, which are EuroSAT's over and over, by TFDS.

    python -m benchmarks.many_images --images 1000000 --out FOLDER
    python benchmarks/memory.py --data FOLDER/many_images/1.0.0

The files are kept as they are, in shards; 5,000 images validate and 5,000 test.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfmodels.data.eurosat import prepare


def examples(
    eurosat: tfds.core.DatasetBuilder, split: str, images: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield pairs of key and example, whose images are EuroSAT's encoded files."""
    data = eurosat.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
    for i, one in zip(range(images), itertools.cycle(tfds.as_numpy(data)), strict=False):
        name = f"{split}-{i:07}.jpg"
        yield name, {"image": one["image"], "label": int(one["label"]), "filename": name}


def main() -> None:
    """Write the data set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000, help="for training")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    eurosat = prepare()
    sizes = {"train": args.images, "validation": 5000, "test": 5000}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="many_images",
        version="1.0.0",
        data_dir=args.out,
        features=eurosat.info.features,
        split_datasets={split: examples(eurosat, split, size) for split, size in sizes.items()},
        disable_shuffling=True,
    )


if __name__ == "__main__":
    main()
