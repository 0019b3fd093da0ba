"""Start a network from weights: ImageNet's by download, or a file in a format of the catalogue."""

import pkgutil
from pathlib import Path

import keras
import numpy as np

from tfmodels.config import KERAS_FILES
from tfmodels.errors import RunError, UsageError
from tfmodels.models.catalog import network_spec
from tfmodels.models.weights.keras_files import read_keras
from tfmodels.models.weights.limits import fault, largest_size
from tfmodels.models.weights.setting import set_weights
from tfmodels.safe_files import open_file


def load_weights(model: keras.Model, network: str, source: str) -> None:
    """Load pretrained weights into a network.

    A classifier for another number of classes is skipped, and so is the whole classifier head
    where a file has none.

    Args:
        model: a network of the catalogue.
        network: its name there.
        source: `none`; `imagenet`, to download them; or the path of a file.

    Raises:
        UsageError: there is no download for the network, or it can't read files of that ending.
        RunError: the weights can't be downloaded or read, don't fit, or claim more than twice the
            memory that the network needs. None is set then.
    """
    if source == "imagenet":
        set_weights(model, _download(model, network), f"`weights={source}`")
    elif source != "none":
        set_weights(model, _read(model, network, Path(source)), source)


def _download(model: keras.Model, network: str) -> dict[str, np.ndarray]:
    reader = network_spec(network).imagenet
    if not reader:
        raise UsageError(f"`weights=imagenet` has no download for {network}: name a file")
    try:
        arrays: dict[str, np.ndarray] = pkgutil.resolve_name(reader)(model)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise RunError(
            f"the ImageNet weights of {network} could not be downloaded ({fault(error)}): "
            "connect to the network, or name a file with `weights`; delete a partial file in "
            "~/.keras/models"
        ) from error
    return arrays


def _read(model: keras.Model, network: str, path: Path) -> dict[str, np.ndarray]:
    formats = network_spec(network).formats
    endings = [ending for ending in (*KERAS_FILES, *formats) if path.name.endswith(ending)]
    if not endings:
        listed = ", ".join((*KERAS_FILES, *formats))
        raise UsageError(f"`weights` is {path}: a file for {network} must end in one of {listed}")
    try:
        open_file(path).close()  # nothing else is opened by its name
        most = largest_size(model)
        if endings[0] in KERAS_FILES:
            return read_keras(path, model, most)
        arrays: dict[str, np.ndarray] = pkgutil.resolve_name(formats[endings[0]])(path, most)
    except RunError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise RunError(f"{path} can't be read ({fault(error)}): is it complete?") from error
    return arrays
