"""Where a network's weights come from: ImageNet's by download, or a file of any of five kinds."""

import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import safetensors
import safetensors.numpy

from tfmodels.download import cache_dir, download
from tfmodels.errors import RunError, UsageError
from tfmodels.models.alexnet import alexnet
from tfmodels.weights.alexnet import from_torchvision, read_bvlc
from tfmodels.weights.keras_h5 import read_h5
from tfmodels.weights.setting import set_weights
from tfmodels.weights.torch_checkpoint import read_checkpoint

TORCHVISION = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
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
        UsageError: no kind of file that can be read, or no download for this network.
        RunError: the weights can't be had, are damaged, or don't fit; none is set then.
    """
    if source == "none":
        return
    if source == "imagenet":
        _load_imagenet(model)
    else:
        path = Path(source)
        set_weights(model, _reader(path)(path, model), path)


def _reader(path: Path) -> Callable[[Path, keras.Model], dict[str, np.ndarray]]:
    readers: dict[str, Callable[[Path, keras.Model], dict[str, np.ndarray]]] = {
        ".pth": lambda path, _: from_torchvision(read_checkpoint(path)),
        ".safetensors": lambda path, _: from_torchvision(_read_safetensors(path)),
        ".npz": lambda path, _: from_torchvision(_read_npz(path)),
        ".npy": lambda path, _: read_bvlc(path),
        ".weights.h5": read_h5,
    }
    for ending, reader in readers.items():
        if path.name.endswith(ending):
            return reader
    raise UsageError(f"--weights is {path}: it must end in one of {', '.join(readers)}")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} can't be read as safetensors ({error})") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise RunError(f"{path} can't be read as a .npz file ({error})") from error


def _load_imagenet(model: keras.Model) -> None:
    if model.name == "alexnet_bvlc":
        raise UsageError(
            "--weights imagenet has no download for alexnet-bvlc: name a file, such as "
            "bvlc_alexnet.npy, or use --model alexnet"
        )
    try:
        if model.name == "alexnet":
            path = torchvision_weights()
            set_weights(model, read_h5(path, model), path)
        else:
            backbone = model.get_layer("mobilenetv2")
            pretrained = keras.applications.MobileNetV2(
                input_shape=backbone.input_shape[1:], include_top=False, weights="imagenet"
            )
            backbone.set_weights(pretrained.get_weights())
    except RunError:
        raise
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise RunError(
            f"the ImageNet weights of {model.name} could not be downloaded "
            f"({type(error).__name__}: {error}): connect to the network, or name a file that "
            "holds them with --weights"
        ) from error


def torchvision_weights() -> Path:
    """torchvision's AlexNet for ImageNet's 1,000 classes as a `.weights.h5` file of `alexnet`.

    Downloaded, verified and converted once, and kept in ~/.cache/tfmodels/weights.

    Raises:
        RunError: the download broke off or isn't the right file.
        OSError: it failed.
    """
    kept = cache_dir() / "weights" / "alexnet-owt-7be5be79.weights.h5"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            checkpoint, converted = (
                Path(folder) / "alexnet.pth",
                Path(folder) / "alexnet.weights.h5",
            )
            download(TORCHVISION, checkpoint, TORCHVISION_SHA256)
            model = alexnet(classes=1000)
            set_weights(model, from_torchvision(read_checkpoint(checkpoint)), checkpoint)
            model.save_weights(converted)
            converted.replace(kept)
    return kept
