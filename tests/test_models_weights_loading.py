import contextlib
import hashlib
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import safetensors.numpy

from tfmodels.errors import RunError, UsageError
from tfmodels.models.alexnet import alexnet, alexnet_bvlc
from tfmodels.models.mobilenet import mobilenetv2
from tfmodels.models.weights import loading

SHARED = Path(__file__).parents[2] / "shared" / "weights"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tfmodels"


SHAPES = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (4096, 9216),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}


@pytest.fixture(scope="module")
def state():
    """torchvision's AlexNet for ImageNet: its names and shapes, other numbers."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in SHAPES.items():
        tensors[f"{name}.weight"] = rng.random(shape, "float32")
        tensors[f"{name}.bias"] = rng.random(shape[0], "float32")
    return tensors


def check(model, state):
    """That the model has these weights, but for the classifier."""
    conv2 = np.array(model.get_layer("conv2").kernel)
    np.testing.assert_array_equal(conv2, state["features.3.weight"].transpose(2, 3, 1, 0))
    dense2 = np.array(model.get_layer("dense2").kernel)
    np.testing.assert_array_equal(dense2, state["classifier.4.weight"].T)
    rows = state["classifier.1.weight"].reshape(4096, 256, 6, 6)
    # Unit 7, from row 2, column 3, channel 5.
    dense1 = np.array(model.get_layer("dense1").kernel).reshape(6, 6, 256, 4096)
    assert dense1[2, 3, 5, 7] == rows[7, 5, 2, 3]


def test_torchvisions_alexnet_is_downloaded_once_and_kept_as_a_keras_file(
    loopback, cache, state, tmp_path, monkeypatch
):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    torch.save(tensors, tmp_path / "alexnet.pth")
    content = (tmp_path / "alexnet.pth").read_bytes()
    answers, url = loopback
    answers["/alexnet.pth"] = (200, len(content), content)
    monkeypatch.setattr(loading, "TORCHVISION", f"{url}/alexnet.pth")
    monkeypatch.setattr(loading, "TORCHVISION_SHA256", hashlib.sha256(content).hexdigest())
    model = alexnet()
    loading.load_weights(model, "imagenet")
    check(model, state)
    assert model.output.shape == (None, 10)
    del answers["/alexnet.pth"]
    (kept,) = (cache / "weights").iterdir()
    assert kept.name == "alexnet-owt-7be5be79.weights.h5"
    again = alexnet()
    loading.load_weights(again, "imagenet")
    check(again, state)


@pytest.mark.parametrize("answer", [(404, 0, b""), (200, 9, b"truncated"[:4]), (200, 3, b"abc")])
def test_a_download_that_fails_leaves_nothing(loopback, cache, monkeypatch, answer):
    answers, url = loopback
    answers["/alexnet.pth"] = answer
    monkeypatch.setattr(loading, "TORCHVISION", f"{url}/alexnet.pth")
    with pytest.raises(RunError, match=r"404|broke|broken|has the checksum"):
        loading.load_weights(alexnet(), "imagenet")
    assert not list((cache / "weights").iterdir())


def test_mobilenets_download_sets_the_backbone_only(monkeypatch):
    application = keras.applications.MobileNetV2
    made = []

    def pretrained(weights, **kwargs):
        if weights == "imagenet":  # what Keras downloads, with numbers of our own
            made.append(application(weights=None, **kwargs))
            rng = np.random.default_rng(0)
            made[0].set_weights([rng.random(w.shape, "float32") for w in made[0].get_weights()])
            return made[0]
        return application(weights=weights, **kwargs)

    monkeypatch.setattr(keras.applications, "MobileNetV2", pretrained)
    model = mobilenetv2(image_size=64)
    loading.load_weights(model, "imagenet")
    assert made[0].input_shape == (None, 64, 64, 3)
    ours = model.get_layer("mobilenetv2").get_weights()
    for one, other in zip(ours, made[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_mobilenets_download_that_fails_says_what_to_do(monkeypatch):
    application = keras.applications.MobileNetV2

    def fails(weights, **kwargs):
        if weights == "imagenet":
            raise Exception("URL fetch failure")
        return application(weights=weights, **kwargs)

    monkeypatch.setattr(keras.applications, "MobileNetV2", fails)
    with pytest.raises(RunError, match="URL fetch failure.*--weights"):
        loading.load_weights(mobilenetv2(image_size=64), "imagenet")


@pytest.mark.parametrize("names", ["torchvision's", "ours"])
@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_files_with_torchvisions_names_or_ours(state, tmp_path, ending, names):
    path = tmp_path / f"x.{ending}"
    arrays = state if names == "torchvision's" else loading.from_torchvision(state)
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    safetensors.numpy.save_file(arrays, path) if ending != "npz" else np.savez(path, **arrays)
    model = alexnet()
    loading.load_weights(model, str(path))
    check(model, state)


@pytest.mark.parametrize("ending", ["safetensors", "npz", "npy", "pth", "weights.h5"])
@pytest.mark.parametrize("content", [b"", b"damaged" * 100])
def test_a_damaged_file_is_refused_by_name(tmp_path, ending, content):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    with pytest.raises(RunError, match=rf"x\.{ending} can't be read"):
        loading.load_weights(mobilenetv2(image_size=32), str(path))


def test_objects_in_an_npz_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([print], dtype=object))
    with pytest.raises(RunError, match="can't be read"):
        loading.load_weights(mobilenetv2(image_size=32), str(tmp_path / "x.npz"))


def test_dense_layers_for_another_image_size_say_which(tmp_path):
    np.savez(tmp_path / "x.npz", **{"dense1/kernel": np.zeros((9216, 4096), "float16")})
    with pytest.raises(UsageError, match="add --image-size 227"):
        loading.load_weights(alexnet_bvlc(image_size=67), str(tmp_path / "x.npz"))


def test_a_flipped_byte_never_escapes_as_something_unexpected(tmp_path):
    model = mobilenetv2(image_size=32)
    model.save_weights(tmp_path / "good.weights.h5")
    np.savez_compressed(tmp_path / "good.npz", a=np.arange(1000.0))
    rng = np.random.default_rng(0)
    for good in ("good.npz", "good.weights.h5"):
        content = bytearray((tmp_path / good).read_bytes())
        bad = tmp_path / good.replace("good", "bad")
        for place in rng.integers(0, min(len(content), 5000), 40):
            flipped = content.copy()
            flipped[place] ^= 0xFF
            bad.write_bytes(flipped)
            with contextlib.suppress(RunError):  # a byte of a weight may be any
                loading.load_weights(model, str(bad))


def test_no_room_for_the_download_is_said_before_it(cache, monkeypatch):
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**8))
    with pytest.raises(RunError, match="less than 500 MB left"):
        loading.load_weights(alexnet(), "imagenet")


def test_the_shared_convolutions_of_bvlc_alexnet(tmp_path):
    path = SHARED / "bvlc_alexnet_conv.npz"
    if not path.exists():
        pytest.skip("no weights on this machine")
    model = alexnet_bvlc(image_size=67)
    loading.load_weights(model, str(path))
    with np.load(path) as arrays:
        np.testing.assert_array_equal(model.get_layer("conv1").kernel, arrays["conv1/kernel"])
