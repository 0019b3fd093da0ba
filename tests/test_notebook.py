from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "study.ipynb"


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_notebook_runs_on_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    texts = [printed(cell) for cell in notebook.cells if cell.cell_type == "code"]
    right = {}
    for line in next(text for text in texts if "sum " in text and "right" in text).splitlines():
        name, share, _ = line.split()
        right[name] = float(share.rstrip("%"))
    assert right.keys() == {"vgg", "airbench-small", "sum"}
    assert right["sum"] >= 90
    assert "fusion" in texts[-1]
    for name in ("cnn", "cnn_lr0.01", "vgg", "airbench-small", "fusion"):
        assert (tmp_path / "runs" / "notebook" / name / "report.html").exists()


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
