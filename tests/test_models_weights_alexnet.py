import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfmodels.errors import RunError
from tfmodels.models.weights.alexnet import from_torchvision, read_bvlc

Layers = dict[str, list[np.ndarray]]
MOST = 2**25  # bytes that weights may take


def test_torchvisions_layouts(tf_test: Any) -> None:
    state = {
        "features.3.weight": np.arange(192 * 64 * 5 * 5).reshape(192, 64, 5, 5),
        "classifier.1.weight": np.arange(2 * 9216).reshape(2, 9216),
        "classifier.4.weight": np.arange(6).reshape(2, 3),
        "classifier.4.bias": np.arange(2),
        "unknown": np.zeros(1),
    }
    arrays = from_torchvision(state)
    assert arrays["conv2/kernel"][1, 2, 3, 4] == state["features.3.weight"][4, 3, 1, 2]
    # Input (row 1, column 2, channel 3) of ours is input (channel 3, row 1, column 2) of theirs.
    ours, theirs = (1 * 6 + 2) * 256 + 3, (3 * 6 + 1) * 6 + 2
    assert arrays["dense1/kernel"][ours, 1] == state["classifier.1.weight"][1, theirs]
    tf_test.assertAllEqual(arrays["dense2/kernel"], state["classifier.4.weight"].T)
    assert set(arrays) == {
        "conv2/kernel", "dense1/kernel", "dense2/kernel", "dense2/bias", "unknown",
    }  # fmt: skip


@pytest.fixture(scope="module")
def bvlc() -> Layers:
    """A dictionary in the layout of bvlc_alexnet.npy, with 8 units for 4096."""
    rng = np.random.default_rng(0)
    shapes = {
        "conv1": (11, 11, 3, 96),
        "conv2": (5, 5, 48, 256),
        "conv3": (3, 3, 256, 384),
        "conv4": (3, 3, 192, 384),
        "conv5": (3, 3, 192, 256),
        "fc6": (9216, 8),
        "fc7": (8, 8),
        "fc8": (8, 1000),
    }
    return {
        name: [rng.random(shape, "float32"), rng.random(shape[-1], "float32")]
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("protocol", [2, 4])  # the published file has 2
def test_bvlc_alexnets_layout(bvlc: Layers, tmp_path: Path, protocol: int, tf_test: Any) -> None:
    path = tmp_path / "bvlc_alexnet.npy"
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(np.array(bvlc, dtype=object), file, protocol=protocol)
    arrays = read_bvlc(path, MOST)
    blue_green_red = arrays.pop("conv1/kernel")[:, :, ::-1]
    tf_test.assertAllEqual(blue_green_red, bvlc["conv1"][0])
    tf_test.assertAllEqual(arrays.pop("conv1/bias"), bvlc["conv1"][1])
    layers = {f"conv{i}": f"conv{i}" for i in range(2, 6)}
    layers |= {"dense1": "fc6", "dense2": "fc7", "logits": "fc8"}
    for ours, theirs in layers.items():
        tf_test.assertAllEqual(arrays.pop(f"{ours}/kernel"), bvlc[theirs][0])
        tf_test.assertAllEqual(arrays.pop(f"{ours}/bias"), bvlc[theirs][1])
    assert not arrays


def test_numpys_own_file_is_read_too(bvlc: Layers, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array({"conv1": bvlc["conv1"]}, dtype=object), allow_pickle=True)
    assert set(read_bvlc(tmp_path / "x.npy", MOST)) == {"conv1/kernel", "conv1/bias"}


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must never be seen",)


def test_a_pickled_attack_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.array({"conv1": Attack()}, dtype=object), allow_pickle=True)
    with pytest.raises(RunError, match="wants to import builtins.print: refused"):
        read_bvlc(tmp_path / "x.npy", MOST)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"no npy", None])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.npy"
    if content is None:
        np.save(path, np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(RunError, match="can't be read as bvlc_alexnet.npy"):
        read_bvlc(path, MOST)


class ForgedType:
    """A dtype whose state, given to NumPy, makes it read the file's bytes as pointers."""

    def __reduce__(self) -> tuple[Any, ...]:
        state = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 63)
        return np.dtype, ("V8", False, True), state


class ForgedArray:
    def __reduce__(self) -> tuple[Any, ...]:
        rebuild = np.zeros(1).__reduce__()[0]
        state = (1, (1,), ForgedType(), False, b"\x41" * 8)
        return rebuild, (np.ndarray, (0,), b"b"), state


def test_a_forged_type_never_reaches_numpy(tmp_path: Path) -> None:
    layers = {"conv1": [ForgedArray(), ForgedArray()]}
    np.save(tmp_path / "x.npy", np.array(layers, dtype=object), allow_pickle=True)
    with pytest.raises(RunError, match="can't be read as bvlc_alexnet.npy .*an array of"):
        read_bvlc(tmp_path / "x.npy", MOST)


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    kernel = np.array([1, "x"], dtype=object)
    layers = np.array({"conv1": [kernel, kernel]}, dtype=object)
    np.save(tmp_path / "x.npy", layers, allow_pickle=True)
    with pytest.raises(RunError, match="can't be read as bvlc_alexnet.npy"):
        read_bvlc(tmp_path / "x.npy", MOST)
