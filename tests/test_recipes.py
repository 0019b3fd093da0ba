import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.test_data_folder import fill
from tfmodels import run
from tfmodels.config import Config
from tfmodels.errors import UsageError
from tfmodels.models.catalog import build
from tfmodels.models.flop import training_flop
from tfmodels.recipes import LONGEST_NAME, RECIPES, configure, run_name

TRAINING_IMAGES = {False: 45_000, True: 49_500}  # of CIFAR-10, without and with `--split final`


def test_a_recipe_gives_settings_that_others_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "quick", lambda asked: {"epochs": 2, "lr": 0.01})
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


@pytest.mark.parametrize(
    "name", [name for name in RECIPES if name != "tuned"]
)  # which is for images from above
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


def test_the_tuned_recipe_goes_by_network_and_weights() -> None:
    mobilenet, alexnet = (configure("tuned", model=name) for name in ("mobilenetv2", "alexnet"))
    pretrained = configure("tuned", model="alexnet", weights="imagenet")
    assert (alexnet.optimizer, pretrained.optimizer) == ("muon", "adam")
    assert mobilenet.batch_size < alexnet.batch_size < pretrained.batch_size
    assert (mobilenet.optimizer, mobilenet.image_size) == ("muon", 64)
    airbench = configure("tuned", model="airbench-large")
    assert (airbench.lr, airbench.schedule, airbench.image_size) == (0.1, "linear", 64)
    of_imagenet = configure("tuned", model="mobilenetv2", weights="imagenet")
    assert (of_imagenet.optimizer, of_imagenet.image_size) == ("adam", 96)
    from_above = configure("tuned", data="eurosat", model="mobilenetv2")
    assert configure("tuned", data="eurosat") == from_above
    assert configure("tuned", model="alexnet", lr=0.5).lr == 0.5
    assert run_name(pretrained) == "cifar10_tuned_alexnet_imagenet_seed0"
    changed = dataclasses.replace(alexnet, lr=0.5)
    assert run_name(changed) == "cifar10_tuned_alexnet_lr0.5_seed0"


@pytest.mark.parametrize(("data", "reached"), [("land-sample", 0.3), ("folder", 0.8)])
def test_recipes_learn_images_from_above_and_of_a_folder(
    data: str, reached: float, sample_dir: Path, tmp_path: Path
) -> None:
    if data == "folder":
        data = str(fill(tmp_path / "images", {"dark": 60, "red": 60, "redder": 60}))
    settings = {
        "data": data,
        "data_dir": str(sample_dir),
        "limit": 100,
        "batch_size": 10,
        "epochs": 5,
    }
    made = run(configure("instant", **settings), out=tmp_path / "runs")
    test = json.loads((made / "metrics.json").read_text())["test"]
    assert test["mean_class_accuracy"] > reached


def test_run_names_differ_wherever_results_may() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"lr": 1e-05},
        {"lr": 1.0000001e-05},
        {"epochs": 20},
        {"batch_size": 32},
        {"step_size": 3},
        {"gamma": 0.5},
        {"schedule": "constant"},
        {"schedule": "cosine"},
        {"schedule": "cosine", "warmup_epochs": 1},
        {"optimizer": "sgd"},
        {"weight_decay": 0.0},
        {"weight_decay": 0.1},
        {"clip_norm": 1.0},
        {"label_smoothing": 0.1},
        {"ema": 0.99},
        {"class_weights": True},
        {"early_stopping": 2},
        {"precision": "mixed_bfloat16"},
        {"seed": 1},
        {"split_seed": 1},
        {"data": "sample"},
        {"data": "eurosat"},
        {"limit": 100},
        {"augment": True},
        {"deterministic": True},
        {"data": "eurosat", "model": "alexnet"},
        {"model": "mobilenetv2", "weights": "imagenet"},
        {"model": "mobilenetv2", "weights": "imagenet", "trainable": "head"},
        {"model": "mobilenetv2", "weights": "/folder/imagenet.keras"},
        {"image_size": 64},
        {"data": "eurosat", "split_scheme": "spatial"},
        {"data": "eurosat", "split_scheme": "."},
        {"data": "eurosat", "split_scheme": "tests"},
    ]
    names = [run_name(Config(**change)) for change in changes]
    assert len(set(names)) == len(names)
    assert run_name(Config(data_dir="/data")) == run_name(Config())
    limited = Config(schedule="constant", limit=100)
    assert run_name(limited) == "cifar10_vgg_limit100_scheduleconstant_seed0"
    recipe = configure("instant", epochs=2, augment=False)
    assert run_name(recipe) == "cifar10_instant_no-augment_epochs2_seed0"
    other = configure("instant", model="vgg", data="sample")
    assert run_name(other) == "sample_instant_vgg_seed0"
    assert run_name(configure("instant"), model="mine") == "cifar10_instant_mine_seed0"
    assert run_name(Config(), data="mine", model="my net/1") == "mine_my-net-1_seed0"


def test_long_run_names_are_cut_and_still_differ() -> None:
    long: dict[str, Any] = {"weights": "a_long_name_of_a_file_of_weights.weights.h5", "limit": 100}
    names = {run_name(Config(**long, lr=lr, label_smoothing=0.1)) for lr in (0.1, 0.2, 0.3)}
    assert len(names) == 3
    assert {len(name) for name in names} == {LONGEST_NAME}
