"""The data sets that can be named. A new one is an entry here and a module beside it.

TensorFlow is imported when a data set is loaded, not here: flags are checked against this
catalogue.
"""

import dataclasses
import os
from pathlib import Path

from tfmodels.errors import UsageError


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What has to be known of a data set before it is loaded.

    Attributes:
        loader: `module:function` that takes a `Config` and returns an `ImageData`.
        network: the network that is trained on it by default.
        split_schemes: ways to choose training, validation and test images; the first is the
            default.
        lists: whether a folder with train.txt, val.txt and test.txt can choose them too.
        groups: whether `group:SEPARATOR` can, which keeps images together whose file names
            agree before the separator.
        archive: whether it can be prepared from a zip file.
        damaged: whether damaged files can be skipped.
    """

    loader: str
    network: str
    split_schemes: tuple[str, ...]
    lists: bool = False
    groups: bool = False
    archive: bool = False
    damaged: bool = False


DATASETS = {
    "cifar10": DatasetSpec("tfmodels.data.cifar10:load", "vgg", ("standard", "final")),
    "eurosat": DatasetSpec(
        "tfmodels.data.eurosat:load",
        "mobilenetv2",
        ("random", "spatial", "google"),
        lists=True,
        archive=True,
    ),
    "sample": DatasetSpec("tfmodels.data.sample:load", "vgg", ("standard",)),
    "land-sample": DatasetSpec(
        "tfmodels.data.sample:load_land", "mobilenetv2", ("random",), lists=True
    ),
}
VIEWS = ("single", "mirror", "shifts", "turns")  # functions of tfmodels.data.views
FOLDER = DatasetSpec(
    "tfmodels.data.folder:load", "mobilenetv2", ("random",), lists=True, groups=True, damaged=True
)
SPLIT_FOLDER = dataclasses.replace(FOLDER, split_schemes=("folders",), lists=False, groups=False)
PREPARED = DatasetSpec("tfmodels.data.prepared:load", "mobilenetv2", ("standard", "random"))


def dataset_spec(data: str) -> DatasetSpec:
    """Return the entry of a data set, or that of a folder: of images, or prepared by TFDS.

    Raises:
        UsageError: it is neither the name of a data set nor a folder.
    """
    if data in DATASETS:
        return DATASETS[data]
    if not os.path.isdir(data):
        raise UsageError(
            f"`data` is {data!r}: it must be one of {', '.join(DATASETS)}, or a folder of images"
        )
    if _is_prepared(data):
        return PREPARED
    train, val, test = (
        os.path.isdir(os.path.join(data, name)) for name in ("train", "val", "test")
    )
    return SPLIT_FOLDER if train and (val or test) else FOLDER  # a class can be named train


def data_name(data: str) -> str:
    """Return what a data set is called: by its folder, if it is one."""
    if data in DATASETS:
        return data
    folder = Path(data).resolve()
    return folder.parent.name if _is_prepared(data) else folder.name  # else a version


def _is_prepared(data: str) -> bool:
    return os.path.isfile(os.path.join(data, "dataset_info.json"))
