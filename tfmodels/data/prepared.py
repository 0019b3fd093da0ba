"""Any data set of labelled images of one size that TFDS has prepared, in files of TFRecords.

It is named by its folder, such as ~/tensorflow_datasets/cifar100/3.0.2. Images are decoded once and
kept in a file (see `store`), so millions of them don't have to fit in memory.
"""

from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from sklearn.model_selection import train_test_split

from tfmodels.config import Config
from tfmodels.data.augmentation import turn_shift_brighten
from tfmodels.data.catalog import data_name
from tfmodels.data.images import ImageData
from tfmodels.data.splits import SHARES, describe_stratified
from tfmodels.data.store import Store
from tfmodels.data.tfds import Layout, open_prepared, read_builder
from tfmodels.errors import UsageError

VALIDATION = ("validation", "val")  # names of a validation split
IDS = ("id", "filename", "file_name")  # features that identify an example
MOST_CLASSES = 10_000


def load(config: Config) -> ImageData:
    """Load a data set from its folder.

    Raises:
        UsageError: it doesn't hold labelled RGB images of one size, or lacks the splits.
        RunError: a file is damaged.
    """
    folder = Path(config.data).resolve()
    builder = open_prepared(folder)
    layout = read_layout(builder)
    if config.split_scheme == "standard" and not {"train", "test"} <= {*layout.sizes}:
        raise UsageError(
            f"{folder} has the splits {', '.join(layout.sizes)}, and train and test are needed: "
            "choose the split scheme random"
        )
    store = read_builder(builder, data_name(config.data), layout)
    train, val, test = _rows(store, config.split_scheme, config.seed_of_split())
    return ImageData(
        name=data_name(config.data),
        version=str(builder.version),
        class_names=layout.class_names,
        image_shape=(layout.side, layout.side, 3),
        train=store.select(train),
        val=store.select(val),
        test=store.select(test),
        split_description=_describe(config, layout),
        augment=turn_shift_brighten,
        checksum=store.checksum,
    )


def read_layout(builder: tfds.core.DatasetBuilder) -> Layout:
    """Return what a prepared data set says that it holds.

    Raises:
        UsageError: that isn't labelled RGB images of one size.
    """
    features = dict(builder.info.features.items())
    image, label = features.get("image"), features.get("label")
    kinds = tfds.features
    if not (isinstance(image, kinds.Image) and isinstance(label, kinds.ClassLabel)):
        raise UsageError(
            f"{builder.data_dir} holds {', '.join(features)}: an image and a label of a class are "
            "needed"
        )
    height, width, channels = image.shape
    if height is None or height != width or channels != 3:
        raise UsageError(
            f"{builder.data_dir} has images {image.shape}: they must be squares of one size, with "
            "3 channels; a folder of images can hold any"
        )
    if not 2 <= (label.num_classes or 0) <= MOST_CLASSES:
        raise UsageError(
            f"{builder.data_dir} has {label.num_classes} classes: it must have from 2 to "
            f"{MOST_CLASSES:,}"
        )
    names = [name for name in IDS if type(features.get(name)) is kinds.Text]
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    return Layout(names[0] if names else None, height, tuple(label.names), sizes)


def _rows(store: Store, scheme: str, seed: int) -> list[np.ndarray]:
    """Return which examples train, validate and test, in stored order."""
    fifth = SHARES["val"] / (SHARES["train"] + SHARES["val"])
    if scheme == "random":
        rest, test = _divided(np.arange(len(store.labels)), store.labels, SHARES["test"], seed)
        return [*_divided(rest, store.labels, fifth, seed), test]
    train, test = (np.flatnonzero(store.splits == name) for name in ("train", "test"))
    val = np.flatnonzero(np.isin(store.splits, VALIDATION))
    return [train, val, test] if len(val) else [*_divided(train, store.labels, fifth, seed), test]


def _divided(rows: np.ndarray, labels: np.ndarray, share: float, seed: int) -> list[np.ndarray]:
    """Return some rows in two parts, of which the second has a share of each class."""
    try:
        parts = train_test_split(rows, test_size=share, stratify=labels[rows], random_state=seed)
    except ValueError as error:
        raise UsageError(f"the images can't be split within each class ({error})") from error
    return [np.sort(part) for part in parts]


def _describe(config: Config, layout: Layout) -> str:
    seed = config.seed_of_split()
    if config.split_scheme == "random":
        return describe_stratified(seed)
    if set(VALIDATION) & {*layout.sizes}:
        return "the data set's own splits"
    return f"the data set's test split; a fifth of its train split validates, seed {seed}"
