import numpy as np
from matplotlib.image import imread

from tfmodels import plots
from tfmodels.models.vgg import vgg


def ink(path):
    """The share of a picture's pixels that aren't white."""
    return (imread(path)[..., :3] < 0.99).any(axis=-1).mean()


def test_loss_curve_of_a_history_file(tmp_path):
    rows = ["epoch,lr,loss,accuracy,val_loss,val_accuracy,seconds", "1,0.1,2,.3,2.1,.2,5"]
    (tmp_path / "one.csv").write_text("\n".join(rows))
    plots.loss_curve(tmp_path / "one.csv", tmp_path / "one.png")
    rows += [f"{epoch},0.01,{2 / epoch},.5,{2.2 / epoch},.4,5" for epoch in range(2, 9)]
    (tmp_path / "eight.csv").write_text("\n".join(rows))
    plots.loss_curve(tmp_path / "eight.csv", tmp_path / "eight.png")
    assert 0.005 < ink(tmp_path / "one.png") < ink(tmp_path / "eight.png") < 0.5


def test_confusion_matrix_shades_by_the_share_of_the_row(tmp_path):
    names = ("a", "b", "c")
    plots.confusion_matrix(np.zeros((3, 3), int), names, tmp_path / "empty.png")
    plots.confusion_matrix(np.eye(3, dtype=int), names, tmp_path / "perfect.png")
    plots.confusion_matrix(10 * np.eye(3, dtype=int), names, tmp_path / "more.png")
    dark = {
        name: (imread(tmp_path / f"{name}.png")[..., 0] < 0.2).mean()
        for name in ("empty", "perfect", "more")
    }
    assert dark["perfect"] > dark["empty"] + 0.1
    assert abs(dark["more"] - dark["perfect"]) < 0.01


def test_architecture_grows_with_the_layers(tmp_path):
    small = vgg(filters=(4,), block_dropout=(0.1,), dense_units=8)
    plots.architecture(small, tmp_path / "small.png")
    plots.architecture(vgg(), tmp_path / "vgg.png")
    heights = {name: imread(tmp_path / f"{name}.png").shape[0] for name in ("small", "vgg")}
    assert heights["vgg"] > 1.3 * heights["small"]  # 26 layers, not 18
    assert ink(tmp_path / "vgg.png") > 0.3
