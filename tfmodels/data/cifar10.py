"""CIFAR-10: 60,000 photographs of 32x32 pixels in ten classes (Krizhevsky 2009)."""

import numpy as np
import tensorflow_datasets as tfds

from tfmodels.config import Config
from tfmodels.data.augmentation import crop_and_flip
from tfmodels.data.images import ImageData
from tfmodels.data.tfds import (
    Layout,
    default_dir,
    download_by_tfds,
    open_builder,
    preparing,
    read_builder,
)
from tfmodels.errors import RunError

LAYOUT = Layout(
    "id",
    32,
    (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    {"train": 50_000, "test": 10_000},
)
VALIDATION = {"standard": (10, "a tenth"), "final": (1, "a hundredth")}  # percents, in words


def load(config: Config) -> ImageData:
    """Load CIFAR-10, downloading it by TFDS if it isn't prepared.

    Raises:
        RunError: it can't be downloaded, or is damaged.
    """
    builder = open_builder("cifar10", config.data_dir)
    try:
        if not builder.is_prepared():
            with preparing("cifar10", config.data_dir):
                download_by_tfds(builder)
            builder = open_builder("cifar10", config.data_dir)
    except Exception as error:  # as many kinds as there are ways to fail to download
        raise RunError(
            f"cifar10 is not prepared in {config.data_dir or default_dir()} and could not be "
            f"downloaded ({type(error).__name__}: {error}): connect to the network, name a folder "
            "that holds it with `data_dir`, or use `data=sample`"
        ) from error
    return standard_data(builder, LAYOUT, "cifar10", config)


def standard_data(
    builder: tfds.core.DatasetBuilder, layout: Layout, name: str, config: Config
) -> ImageData:
    """Return a data set of photographs with its own test split and a validation split by seed."""
    percent, share = VALIDATION[config.split_scheme]
    store = read_builder(builder, name, layout)
    train = np.flatnonzero(store.splits == "train")
    validates = validation_rows(len(train), config.seed_of_split(), percent)
    return ImageData(
        name=name,
        version=str(builder.version),
        class_names=layout.class_names,
        image_shape=(layout.side, layout.side, 3),
        train=store.select(train[~validates]),
        val=store.select(train[validates]),
        test=store.select(np.flatnonzero(store.splits == "test")),
        split_description=f"the data set's test split; {share} of its train split, by the seed, "
        "validates",
        augment=crop_and_flip,
        checksum=store.checksum,
    )


def validation_rows(n: int, seed: int, percent: int) -> np.ndarray:
    """Return which of n training images validate (n,) bool: some of the hundred percents."""
    percents = np.random.default_rng(seed).choice(100, percent, replace=False)
    return np.isin(np.arange(n) * 100 // n, percents)
