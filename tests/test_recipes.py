import json
import re
from pathlib import Path

import pytest

from tests.test_data_folder import fill
from tfmodels import run
from tfmodels.config import Config
from tfmodels.errors import UsageError
from tfmodels.models.catalog import build
from tfmodels.models.flop import training_flop
from tfmodels.recipes import RECIPES, configure

TRAINING_IMAGES = {False: 45_000, True: 49_500}  # of CIFAR-10, without and with `--split final`


def test_a_recipe_gives_settings_that_others_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "quick", lambda: {"epochs": 2, "lr": 0.01})
    assert configure() == Config()
    quick = configure("quick", lr=0.1)
    assert quick == Config(recipe="quick", epochs=2, lr=0.1)
    with pytest.raises(UsageError, match="`recipe` is 'slow': it must be one of study, .*, quick"):
        configure("slow")
    with pytest.raises(UsageError, match="no setting 'epoch': did you mean `epochs`"):
        configure(epoch=3)
    with pytest.raises(UsageError, match="no setting 'split': did you mean `split_scheme`"):
        configure(split="final")
    with pytest.raises(UsageError, match=r"no setting 'x': help\(tfmodels.Config\) has all"):
        configure(x=1)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_reaches_for_which_flop(name: str) -> None:
    config = configure(name)
    assert config.recipe == name
    text = RECIPES[name].__doc__ or ""
    assert re.search(r"\d %.* \(n = \d+", text, re.DOTALL)
    (said,) = re.findall(r"(\d\.\d+e\d+)\s+training\s+FLOP", text)
    network = build(config.model or "vgg", (32, 32, 3), 10, 32)
    images = TRAINING_IMAGES["--split final" in text]
    flop = training_flop(network, config.trainable, images, [config.epochs])
    assert flop == pytest.approx(float(said), rel=0.01)


@pytest.mark.parametrize(("data", "reached"), [("land-sample", 0.3), ("folder", 0.8)])
def test_recipes_learn_images_from_above_and_of_a_folder(
    data: str, reached: float, sample_dir: Path, tmp_path: Path
) -> None:
    if data == "folder":
        data = str(fill(tmp_path / "images", {"dark": 60, "red": 60, "redder": 60}))
    settings = {"data": data, "data_dir": str(sample_dir), "limit": 100, "batch_size": 10}
    made = run(configure("instant", **settings), out=tmp_path / "runs")
    test = json.loads((made / "metrics.json").read_text())["test"]
    assert test["mean_class_accuracy"] > reached
