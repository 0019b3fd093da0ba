"""Where a network's weights come from: ImageNet's by download, or a file of any of five kinds."""

import contextlib
import errno
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy

from tfmodels.download import cache_dir, download
from tfmodels.errors import RunError, UsageError
from tfmodels.models.alexnet import alexnet
from tfmodels.models.weights.alexnet import from_torchvision, read_bvlc
from tfmodels.models.weights.keras_h5 import read_h5
from tfmodels.models.weights.setting import named_weights, set_weights
from tfmodels.models.weights.torch_checkpoint import read_checkpoint

TORCHVISION = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
TORCHVISION_SIZE = 250_000_000  # bytes, and as many when converted
TORCHVISION_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"


def load_weights(model: keras.Model, source: str) -> None:
    """Start a network of Part 2 from weights made elsewhere.

    A classifier for another number of classes is left as it is, and so is the whole head
    where a file has the backbone only.

    Args:
        model: `mobilenetv2`, `alexnet` or `alexnet_bvlc`.
        source: `none`; `imagenet`, which downloads Keras' MobileNetV2 or torchvision's AlexNet;
            or the path of a `.pth`, `.safetensors`, `.npz`, `.npy` (bvlc_alexnet) or
            `.weights.h5` file.

    Raises:
        UsageError: the file has another ending, or dense layers for another image size.
        RunError: the weights can't be had, are damaged, or don't fit; none is set then.
    """
    if source == "imagenet":
        _load_imagenet(model)
    elif source != "none":
        path = Path(source)
        arrays = _read(path, model)
        rows = arrays.get("dense1/kernel", np.empty(0)).shape[0]
        if (
            model.name == "alexnet_bvlc"
            and rows == 9216 != model.get_layer("features").output.shape[1]
        ):
            raise UsageError(f"{path} holds dense layers for 227 pixels: add --image-size 227")
        set_weights(model, arrays, path)


READERS: dict[str, Callable[[Path, keras.Model], dict[str, np.ndarray]]] = {
    ".pth": lambda path, _: from_torchvision(read_checkpoint(path)),
    ".safetensors": lambda path, _: from_torchvision(safetensors.numpy.load_file(path)),
    ".npz": lambda path, _: from_torchvision(_read_npz(path)),
    ".npy": lambda path, _: read_bvlc(path),
    ".weights.h5": read_h5,
}


def _read(path: Path, model: keras.Model) -> dict[str, np.ndarray]:
    for ending, reader in READERS.items():
        if path.name.endswith(ending):
            try:
                return reader(path, model)
            except RunError:
                raise
            except Exception as error:  # a damaged file can raise anything
                raise RunError(
                    f"{path} can't be read ({type(error).__name__}: {error}): get it anew"
                ) from error
    raise UsageError(f"{path} holds no weights: it must end in one of {', '.join(READERS)}")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _load_imagenet(model: keras.Model) -> None:
    try:
        if model.name == "alexnet":
            path = torchvision_weights()
            arrays = _read(path, model)
        else:
            path = Path("keras.applications")
            backbone = model.get_layer("mobilenetv2")
            with contextlib.redirect_stdout(sys.stderr):  # Keras' progress
                pretrained = keras.applications.MobileNetV2(
                    input_shape=backbone.input_shape[1:], include_top=False, weights="imagenet"
                )
            arrays = named_weights(pretrained)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise RunError(
            f"the ImageNet weights of {model.name} could not be had ({type(error).__name__}: "
            f"{error}): connect to the network, name a file with --weights, or delete a half "
            "file in ~/.keras/models"
        ) from error
    set_weights(model, arrays, path)


def torchvision_weights() -> Path:
    """torchvision's AlexNet for ImageNet's 1,000 classes as a `.weights.h5` file of `alexnet`.

    Downloaded, verified and converted once, and kept in ~/.cache/tfmodels/weights.

    Raises:
        RunError: the download broke off or isn't the right file.
        OSError: it failed, or there is no room for it.
    """
    kept = cache_dir() / "weights" / "alexnet-owt-7be5be79.weights.h5"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(kept.parent).free < 2 * TORCHVISION_SIZE:
            # Found out by HDF5 (h5py 3.14) it would end the process by a segmentation fault.
            raise OSError(errno.ENOSPC, "less than 500 MB left", str(kept.parent))
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            checkpoint = Path(folder) / "alexnet.pth"
            converted = Path(folder) / "alexnet.weights.h5"
            download(TORCHVISION, checkpoint, TORCHVISION_SHA256)
            model = alexnet(classes=1000)
            set_weights(model, from_torchvision(read_checkpoint(checkpoint)), checkpoint)
            model.save_weights(converted)
            converted.replace(kept)
    return kept
