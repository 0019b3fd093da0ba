import collections
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tfmodels.errors import RunError
from tfmodels.models.weights.torch_checkpoint import read_checkpoint

torch = pytest.importorskip("torch")
MOST = 2**20  # bytes that tensors may take


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def layout(request: pytest.FixtureRequest) -> dict[str, bool]:
    return {"_use_new_zipfile_serialization": request.param}


def test_every_tensor_is_read_as_pytorch_wrote_it(
    tf_test: Any, tmp_path: Path, layout: dict[str, bool]
) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = collections.OrderedDict(
        whole=base,
        transposed=base.T,
        slice=base[1:3, ::2],
        same_storage=base[3],
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(3)),
        half=torch.randn(5).half(),
        bfloat=torch.randn(5).bfloat16(),
        double=torch.randn(2, 2).double(),
        counts=torch.tensor([1, -2, 3]),
        flags=torch.tensor([True, False]),
    )
    torch.save(state, tmp_path / "state.pth", **layout)
    read = read_checkpoint(tmp_path / "state.pth", MOST)
    assert list(read) == list(state)
    for name, tensor in state.items():
        expected = tensor.detach()
        if name == "bfloat":
            tf_test.assertAllEqual(read[name].astype("float32"), expected.float().numpy())
        else:
            tf_test.assertAllEqual(read[name], expected.numpy())
            assert read[name].dtype == expected.numpy().dtype


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.target), "w"))


def test_an_attack_is_refused_and_not_run(tmp_path: Path, layout: dict[str, bool]) -> None:
    torch.save(
        {"a": torch.zeros(2), "b": Attack(tmp_path / "owned")}, tmp_path / "bad.pth", **layout
    )
    with pytest.raises(RunError, match=r"wants to import (io|_io|builtins)\.open: refused"):
        read_checkpoint(tmp_path / "bad.pth", MOST)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Attack(tmp_path / "owned")))
    with pytest.raises(RunError, match="refused"):
        read_checkpoint(tmp_path / "plain.pth", MOST)
    assert not (tmp_path / "owned").exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path, layout: dict[str, bool]) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth", **layout)
    with pytest.raises(RunError, match=r"wants to import torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(tmp_path / "module.pth", MOST)


def test_a_truncated_file_is_named(tmp_path: Path, layout: dict[str, bool]) -> None:
    torch.save({"a": torch.randn(1000)}, tmp_path / "state.pth", **layout)
    content = (tmp_path / "state.pth").read_bytes()
    for part in (0.1, 0.5, 0.95):
        (tmp_path / "cut.pth").write_bytes(content[: int(len(content) * part)])
        with pytest.raises(RunError, match=r"cut\.pth can't be read"):
            read_checkpoint(tmp_path / "cut.pth", MOST)


def test_a_missing_file_and_other_content_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none\.pth can't be read"):
        read_checkpoint(tmp_path / "none.pth", MOST)
    for content in ([torch.zeros(1)], {0: torch.zeros(1)}, {"a": 1}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(RunError, match="something else than a dictionary"):
            read_checkpoint(tmp_path / "other.pth", MOST)


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(4, 4)}, tmp_path / "state.pth")
    with zipfile.ZipFile(tmp_path / "state.pth") as good:
        entries = {name: good.read(name) for name in good.namelist()}
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as bad:
        for name, content in entries.items():
            # The shape (4, 4), two one-byte integers and a tuple, becomes (4, 200).
            bad.writestr(name, content.replace(b"K\x04K\x04\x86", b"K\x04K\xc8\x86", 1))
    with pytest.raises(RunError, match="reaches beyond its storage"):
        read_checkpoint(tmp_path / "bad.pth", MOST)
