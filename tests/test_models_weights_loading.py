import contextlib
import functools
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy

from tests.hostile import HOSTILE, peak_growth, ran
from tfmodels.download import cache_dir
from tfmodels.errors import RunError, UsageError
from tfmodels.models import catalog
from tfmodels.models.weights import alexnet
from tfmodels.models.weights.limits import largest_size
from tfmodels.models.weights.loading import load_weights
from tfmodels.models.weights.setting import named_weights

SHARED = Path(__file__).parents[2] / "shared" / "weights"
SHAPES = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (8, 9216),
    "classifier.4": (8, 8),
    "classifier.6": (1000, 8),
}
State = dict[str, np.ndarray]
Loopback = tuple[dict[str, tuple[int, int, bytes]], str]


def build(network: str, image_size: int, classes: int = 3) -> keras.Model:
    """Build a network; an AlexNet with 8 units for 4096, so that its files are 200 MB smaller."""

    def narrow(layer: keras.Layer) -> keras.Layer:
        changes = {"units": 8} if layer.name in ("dense1", "dense2") else {}
        return layer.__class__.from_config(layer.get_config() | changes)

    model = catalog.build(network, (64, 64, 3), classes, image_size)
    if "alexnet" not in network:
        return model
    return keras.models.clone_model(model, clone_function=narrow)


@pytest.fixture(scope="module")
def built() -> Callable[..., keras.Model]:
    """A function that builds each network once, for tests that don't rely on its weights."""
    return functools.cache(build)


@pytest.fixture
def narrow_alexnet(built: Callable[..., keras.Model]) -> keras.Model:
    """An AlexNet for 63 pixels and three classes, with all weights zero."""
    model = built("alexnet", 63)
    model.set_weights([np.zeros(weight.shape) for weight in model.weights])
    return model


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_dir() / "weights"


@pytest.fixture(scope="module")
def state() -> State:
    """Names and layouts of torchvision's AlexNet for ImageNet, with 8 units for 4096."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in SHAPES.items():
        tensors[f"{name}.weight"] = rng.random(shape, "float32")
        tensors[f"{name}.bias"] = rng.random(shape[0], "float32")
    return tensors


def has_weights(model: keras.Model, state: State) -> bool:
    """Return whether a model has these weights but for the classifier's."""
    conv2, dense1, dense2 = (
        np.array(model.get_layer(name).kernel) for name in ("conv2", "dense1", "dense2")
    )
    rows = state["classifier.1.weight"].reshape(8, 256, 6, 6)
    return (
        np.array_equal(conv2, state["features.3.weight"].transpose(2, 3, 1, 0))
        and np.array_equal(dense2, state["classifier.4.weight"].T)
        # Unit 7, from row 2, column 3, channel 5.
        and bool(dense1.reshape(6, 6, 256, 8)[2, 3, 5, 7] == rows[7, 5, 2, 3])
    )


def test_torchvisions_alexnet_is_downloaded_once_and_kept(
    loopback: Loopback,
    empty_cache: Path,
    state: State,
    narrow_alexnet: keras.Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    torch.save(tensors, tmp_path / "alexnet.pth")
    content = (tmp_path / "alexnet.pth").read_bytes()
    answers, url = loopback
    answers["/alexnet.pth"] = (200, len(content), content)
    monkeypatch.setattr(alexnet, "TORCHVISION_URL", f"{url}/alexnet.pth")
    monkeypatch.setattr(alexnet, "TORCHVISION_SHA256", hashlib.sha256(content).hexdigest())
    model = build("alexnet", 63, classes=10)
    load_weights(model, "alexnet", "imagenet")
    assert has_weights(model, state)
    assert model.output.shape == (None, 10)
    del answers["/alexnet.pth"]
    (file,) = empty_cache.iterdir()
    assert file.name == "alexnet.pth"
    load_weights(narrow_alexnet, "alexnet", "imagenet")
    assert has_weights(narrow_alexnet, state)


@pytest.mark.parametrize("answer", [(404, 0, b""), (200, 9, b"trun"), (200, 3, b"abc")])
def test_a_download_that_fails_leaves_nothing(
    loopback: Loopback,
    empty_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    built: Callable[..., keras.Model],
    answer: tuple[int, int, bytes],
) -> None:
    answers, url = loopback
    answers["/alexnet.pth"] = answer
    monkeypatch.setattr(alexnet, "TORCHVISION_URL", f"{url}/alexnet.pth")
    with pytest.raises(RunError, match="ImageNet weights of alexnet could not be downloaded"):
        load_weights(built("alexnet", 63), "alexnet", "imagenet")
    assert not empty_cache.exists() or not list(empty_cache.iterdir())


def test_a_download_of_keras_that_fails_says_what_to_do(
    built: Callable[..., keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built("mobilenetv2", 32)

    def fail(**_: Any) -> None:
        raise Exception("URL fetch\nfailure")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    with pytest.raises(RunError, match=r"could not be downloaded \(.*URL fetch failure.*`weights`"):
        load_weights(model, "mobilenetv2", "imagenet")


def test_a_network_without_a_download_is_a_usage_error(built: Callable[..., keras.Model]) -> None:
    with pytest.raises(UsageError, match="`weights=imagenet` has no download for vgg"):
        load_weights(built("vgg", 8), "vgg", "imagenet")


def test_none_changes_nothing(built: Callable[..., keras.Model], tf_test: Any) -> None:
    model = built("vgg", 8)
    before = model.get_weights()
    load_weights(model, "vgg", "none")
    for weight, value in zip(model.get_weights(), before, strict=True):
        tf_test.assertAllEqual(weight, value)


@pytest.mark.parametrize("names", ["torchvision's", "ours"])
@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_files_with_torchvisions_names_or_ours(
    state: State,
    narrow_alexnet: keras.Model,
    tmp_path: Path,
    ending: str,
    names: str,
) -> None:
    path = tmp_path / f"x.{ending}"
    arrays = state if names == "torchvision's" else alexnet.from_torchvision(state)
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    if ending == "npz":
        np.savez(path, allow_pickle=False, **arrays)
    else:
        safetensors.numpy.save_file(arrays, path)
    load_weights(narrow_alexnet, "alexnet", str(path))
    assert has_weights(narrow_alexnet, state)


@pytest.mark.parametrize(
    ("network", "endings"),
    [
        ("vgg", ".weights.h5, .keras"),
        ("alexnet-bvlc", ".weights.h5, .keras, .npy, .npz"),
    ],
)
def test_a_file_of_another_format_is_refused_with_what_is_read(
    built: Callable[..., keras.Model], network: str, endings: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"x\.pth: a file for {network} .* one of {endings}$"):
        load_weights(built(network, 67), network, str(tmp_path / "x.pth"))


@pytest.mark.parametrize("network", ["mobilenetv2", "vgg", "airbench-small"])
@pytest.mark.parametrize("ending", ["weights.h5", "keras"])
def test_a_run_on_other_classes_gives_all_but_its_classifier(
    built: Callable[..., keras.Model], network: str, ending: str, tmp_path: Path, tf_test: Any
) -> None:
    path = tmp_path / f"model.{ending}"
    trained = built(network, 32, classes=10)
    trained.compile("adam", "sparse_categorical_crossentropy")
    trained.optimizer.build(trained.trainable_variables)
    trained.save(path) if ending == "keras" else trained.save_weights(path)
    model = built(network, 32, classes=3)
    model.set_weights([np.zeros(weight.shape) for weight in model.weights])
    classifier = np.array(model.get_layer("logits").kernel)
    load_weights(model, network, str(path))
    expected = named_weights(trained)
    for name, value in named_weights(model).items():
        if not name.startswith("logits/"):
            tf_test.assertAllEqual(value, expected[name])
    tf_test.assertAllEqual(model.get_layer("logits").kernel, classifier)


@pytest.mark.parametrize(
    ("network", "other", "size"),
    [
        ("mobilenetv2", "alexnet-bvlc", 67),
        ("vgg", "mobilenetv2", 32),
    ],
)
def test_a_file_of_another_network_is_refused_and_nothing_is_set(
    built: Callable[..., keras.Model],
    network: str,
    other: str,
    size: int,
    tmp_path: Path,
    tf_test: Any,
) -> None:
    path = tmp_path / "x.weights.h5"
    built(other, size).save_weights(path)
    model = built(network, size)
    before = model.get_weights()
    with pytest.raises(RunError, match=r"x\.weights\.h5 doesn't fit .*no match for: .* more$"):
        load_weights(model, network, str(path))
    for weight, value in zip(model.get_weights(), before, strict=True):
        tf_test.assertAllEqual(weight, value)


def test_a_file_for_another_image_size_is_explained(
    built: Callable[..., keras.Model], tmp_path: Path
) -> None:
    path = tmp_path / "x.weights.h5"
    built("vgg", 8).save_weights(path)
    with pytest.raises(RunError, match="no match for: dense1/kernel; .* use the `image_size`"):
        load_weights(built("vgg", 16), "vgg", str(path))
    model = built("alexnet-bvlc", 67)
    arrays = named_weights(model) | {"dense1/kernel": np.zeros((9216, 8), "float16")}
    np.savez(tmp_path / "x.npz", allow_pickle=False, **arrays)
    with pytest.raises(RunError, match="`image_size=227`"):
        load_weights(model, "alexnet-bvlc", str(tmp_path / "x.npz"))


@pytest.mark.parametrize(
    ("network", "ending"),
    [
        ("alexnet", "safetensors"),
        ("alexnet", "npz"),
        ("alexnet", "pth"),
        ("alexnet-bvlc", "npy"),
        ("vgg", "weights.h5"),
        ("vgg", "keras"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"damaged" * 100, None])
def test_a_damaged_file_is_refused_by_name(
    built: Callable[..., keras.Model],
    tmp_path: Path,
    network: str,
    ending: str,
    content: bytes | None,
) -> None:
    path = tmp_path / f"x.{ending}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=rf"x\.{ending} can't be read"):
        load_weights(built(network, 67), network, str(path))


def test_objects_in_an_npz_are_refused(built: Callable[..., keras.Model], tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([print], dtype=object))
    with pytest.raises(RunError, match="can't be read"):
        load_weights(built("alexnet", 63), "alexnet", str(tmp_path / "x.npz"))


FORMATS = {"npz": "alexnet", "pth": "alexnet", "safetensors": "alexnet", "npy": "alexnet-bvlc"}
FORMATS |= {"h5": "vgg", "keras": "vgg"}
ENDINGS = {"h5": "weights.h5"}
KINDS = [
    (kind, ending)
    for ending in FORMATS
    for kind in HOSTILE
    if kind.startswith((ending, "zip" if ending in ("npz", "pth", "keras") else ending))
]


@pytest.mark.parametrize(("kind", "ending"), KINDS)
def test_a_hostile_file_is_refused_by_name_within_the_memory_of_the_network(
    built: Callable[..., keras.Model], tmp_path: Path, kind: str, ending: str
) -> None:
    path = tmp_path / f"x.{ENDINGS.get(ending, ending)}"
    HOSTILE[kind](path)
    network = FORMATS[ending]
    model = built(network, 67)

    def load() -> None:
        """Refuse the file in one line."""
        with pytest.raises(RunError, match=rf"{path}\b") as caught:
            load_weights(model, network, str(path))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500

    assert peak_growth(load) < largest_size(model) + 2**24
    assert not ran(path).exists()


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "unix_socket"])
@pytest.mark.parametrize("ending", FORMATS)
def test_what_is_not_a_file_is_refused_at_once(
    built: Callable[..., keras.Model], tmp_path: Path, kind: str, ending: str
) -> None:
    path = tmp_path / f"x.{ENDINGS.get(ending, ending)}"
    HOSTILE[kind](path)
    with pytest.raises(RunError, match=f"{path} is not a regular file"):
        load_weights(built(FORMATS[ending], 67), FORMATS[ending], str(path))


VALUES: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "nan": (lambda kernel: np.full_like(kernel, np.nan), "aren't finite"),
    "huge": (lambda kernel: np.full(kernel.shape, 1e300), "aren't finite"),
    "complex": (lambda kernel: kernel.astype("complex64"), "holds complex64: weights must be"),
    "integers": (
        lambda kernel: np.zeros(kernel.shape, "int32"),
        "holds int32: weights must be one of",
    ),
    "bytes": (lambda kernel: kernel.astype("S8"), "holds .S8: weights must be"),
    "fields": (lambda kernel: np.zeros(kernel.shape, [("a", "f4")]), r"holds \[\('a'"),
    "one number": (lambda kernel: np.float32(1), "no match for: block1_conv1/kernel"),
    "compressed": (None, "is compressed: save the weights again"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("ending", ["weights.h5", "keras"])
def test_only_finite_floats_become_weights_of_keras(
    built: Callable[..., keras.Model], tmp_path: Path, ending: str, value: str
) -> None:
    path, model = tmp_path / f"x.{ending}", built("vgg", 8)
    make, message = VALUES[value]
    model.save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "r+") as file:
        kernel = file["layers/conv2d/vars/0"][()]
        del file["layers/conv2d/vars/0"]
        if value == "compressed":
            file.create_dataset("layers/conv2d/vars/0", data=kernel, compression="gzip")
        else:
            file["layers/conv2d/vars/0"] = make(kernel)
    if ending == "keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "x.weights.h5", "model.weights.h5")
    where = "" if value == "one number" else "layers/conv2d/vars/0 "
    with pytest.raises(RunError, match=f"{path}.*{where}.*{message}"):
        load_weights(model, "vgg", str(path))


@pytest.mark.parametrize("ending", ["npz", "safetensors", "pth"])
@pytest.mark.parametrize("value", [np.nan, np.int64(1), 0.5])
def test_only_finite_floats_become_weights_of_alexnet(
    built: Callable[..., keras.Model], state: State, tmp_path: Path, ending: str, value: Any
) -> None:
    path, name = tmp_path / f"x.{ending}", "features.0.weight"
    wrong = np.array(0.5) if value == 0.5 else np.full(state[name].shape, value)  # in 0 dimensions
    arrays = state | {name: wrong}
    if ending == "npz":
        np.savez(path, allow_pickle=False, **arrays)
    elif ending == "safetensors":
        safetensors.numpy.save_file(arrays, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path)
    fault = "of another shape: conv1/kernel" if value == 0.5 else "not finite.*: conv1/kernel"
    with pytest.raises(RunError, match=f"{path} doesn't fit .*{fault}"):
        load_weights(built("alexnet", 63), "alexnet", str(path))


def test_links_and_an_optimizers_state_are_told_apart(
    built: Callable[..., keras.Model], tmp_path: Path
) -> None:
    """What isn't read may be large, and a weight may not lie in it."""
    path, model = tmp_path / "x.weights.h5", built("vgg", 8)
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        file.create_dataset("optimizer/vars/0", (2**30,), "f4")
    load_weights(model, "vgg", str(path))
    with h5py.File(path, "r+") as file:
        file["layers/conv2d/vars/2"] = file["optimizer/vars/0"]
    with pytest.raises(RunError, match="claims to hold more than"):
        load_weights(model, "vgg", str(path))


@pytest.mark.parametrize(
    ("network", "file"),
    [("vgg", "good.weights.h5"), ("vgg", "good.keras"), ("alexnet", "good.npz")],
)
def test_a_flipped_byte_never_raises_anything_unexpected(
    tmp_path: Path, network: str, file: str
) -> None:
    model = build(network, 8 if network == "vgg" else 63)
    if file == "good.npz":
        np.savez_compressed(tmp_path / file, a=np.arange(1000.0))
    elif file == "good.keras":
        model.save(tmp_path / file)
    else:
        model.save_weights(tmp_path / file)
    content = bytearray((tmp_path / file).read_bytes())
    bad = tmp_path / file.replace("good", "bad")
    for place in np.random.default_rng(0).integers(0, min(len(content), 5000), 20):
        flipped = content.copy()
        flipped[place] ^= 0xFF
        bad.write_bytes(flipped)
        with contextlib.suppress(RunError):  # a byte of a weight may be any
            load_weights(model, network, str(bad))


@pytest.mark.parametrize(
    ("network", "file"),
    [("alexnet-bvlc", "bvlc_alexnet_conv.npz"), ("alexnet", "torchvision_alexnet_conv.npz")],
)
def test_published_convolutions(
    built: Callable[..., keras.Model], network: str, file: str, tf_test: Any
) -> None:
    if not (SHARED / file).exists():
        pytest.skip(f"{file} is not on this machine")
    model = built(network, 67)
    load_weights(model, network, str(SHARED / file))
    with np.load(SHARED / file) as arrays:
        for name in arrays:
            layer, weight = name.split("/")
            tf_test.assertAllEqual(getattr(model.get_layer(layer), weight), arrays[name])


def test_published_backbone_of_mobilenetv2(built: Callable[..., keras.Model], tf_test: Any) -> None:
    path = SHARED / "mobilenet_v2_1.0_224_no_top.weights.h5"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    expected = keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), include_top=False, weights=None
    )
    expected.load_weights(path)
    model = built("mobilenetv2", 32)
    load_weights(model, "mobilenetv2", str(path))
    backbone = model.get_layer("mobilenetv2")
    for weight, value in zip(backbone.get_weights(), expected.get_weights(), strict=True):
        tf_test.assertAllEqual(weight, value)
