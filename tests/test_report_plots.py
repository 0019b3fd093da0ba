from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from tfmodels.errors import RunError
from tfmodels.models.vgg import vgg
from tfmodels.report import plots


def ink(path: Path) -> float:
    """The fraction of an image's pixels that aren't white."""
    return float((imread(path)[..., :3] < 0.99).any(axis=-1).mean())


def test_loss_curve_of_a_history_file(tmp_path: Path) -> None:
    rows = ["epoch,lr,loss,accuracy,val_loss,val_accuracy,seconds", "1,0.1,2,.3,2.1,.2,5"]
    (tmp_path / "one.csv").write_text("\n".join(rows))
    plots.save(plots.loss_curve(tmp_path / "one.csv"), tmp_path / "one.png")
    rows += [f"{epoch},0.01,{2 / epoch},.5,{2.2 / epoch},.4,5" for epoch in range(2, 9)]
    (tmp_path / "eight.csv").write_text("\n".join(rows))
    plots.save(plots.loss_curve(tmp_path / "eight.csv"), tmp_path / "eight.png")
    assert 0.005 < ink(tmp_path / "one.png") < ink(tmp_path / "eight.png") < 0.5


def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    history = "epoch,lr,loss,accuracy,val_loss,val_accuracy,seconds\n1,0.1,2,.3"
    (tmp_path / "history.csv").write_text(history)
    with pytest.raises(RunError, match="history.csv can't be read as a history"):
        plots.loss_curve(tmp_path / "history.csv")


def test_confusion_matrix_is_shaded_by_fractions_of_the_row(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    perfect = np.eye(3, dtype=int)
    for name, counts in (("empty", 0 * perfect), ("perfect", perfect), ("more", 10 * perfect)):
        plots.save(plots.confusion_matrix(counts, names), tmp_path / f"{name}.png")
    dark = {
        name: (imread(tmp_path / f"{name}.png")[..., 0] < 0.2).mean()
        for name in ("empty", "perfect", "more")
    }
    assert dark["perfect"] > dark["empty"] + 0.1
    assert abs(dark["more"] - dark["perfect"]) < 0.01


def test_architecture_grows_with_the_layers(tmp_path: Path) -> None:
    small = vgg(filters=(4,), block_dropout=(0.1,), dense_units=8)
    plots.save(plots.architecture(small), tmp_path / "small.png")
    plots.save(plots.architecture(vgg()), tmp_path / "vgg.png")
    heights = {name: imread(tmp_path / f"{name}.png").shape[0] for name in ("small", "vgg")}
    assert heights["vgg"] > 1.3 * heights["small"]  # 26 layers, not 18
    assert ink(tmp_path / "vgg.png") > 0.3


def test_reliability_draws_accuracy_over_confidence(tf_test: Any) -> None:
    probabilities = np.repeat([[0.7, 0.3], [0.95, 0.05]], [10, 20], axis=0)
    labels = np.repeat([0, 1, 0], [7, 3, 20])
    upper, lower = plots.reliability(labels, probabilities).axes
    tf_test.assertAllClose(upper.lines[1].get_xydata(), [[0.7, 0.7], [0.95, 1.0]])
    heights = [bar.get_height() for bar in lower.patches if isinstance(bar, Rectangle)]
    assert sorted(heights)[-2:] == [10, 20]


def test_svg_to_embed_has_the_colour_of_the_page_and_is_repeatable() -> None:
    labels, probabilities = np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]])
    drawn = plots.svg(plots.reliability, labels, probabilities)
    assert drawn.startswith("<svg")
    assert "fill: currentColor" in drawn
    assert "#000000" not in drawn
    assert drawn == plots.svg(plots.reliability, labels, probabilities)
