import math

import pytest

from tfmodels.errors import UsageError
from tfmodels.config import ARCHITECTURES, CifarSettings, EurosatSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0),
        ("lr", -0.1),
        ("lr", math.nan),
        ("lr", math.inf),
        ("lr", "0.1"),
        ("gamma", 0),
        ("gamma", 1.5),
        ("gamma", math.nan),
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", True),
        ("batch_size", -1),
        ("step_size", 0),
        ("limit", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("data", "mnist"),
    ],
)
def test_a_wrong_value_is_named_with_its_flag(name, value):
    with pytest.raises(UsageError) as caught:
        CifarSettings(**{name: value})
    message = str(caught.value)
    assert message.startswith("--" + name.replace("_", "-"))
    assert repr(value) in message
    assert "must be" in message


def test_defaults_are_the_studys_best_row():
    settings = CifarSettings()
    assert (settings.lr, settings.epochs, settings.step_decay) == (0.001, 10, True)
    assert settings.run_name() == "cifar10_lr0.001_epochs10_seed0"


def test_run_names_differ_wherever_results_may():
    changes = [
        {},
        {"lr": 1e-05},
        {"lr": 1.0000001e-05},
        {"epochs": 20},
        {"batch_size": 32},
        {"step_size": 3},
        {"gamma": 0.5},
        {"step_decay": False},
        {"seed": 1},
        {"data": "sample"},
        {"limit": 100},
        {"augment": True},
        {"deterministic": True},
    ]
    names = [CifarSettings(**change).run_name() for change in changes]
    assert len(set(names)) == len(names)
    assert CifarSettings(step_decay=False, limit=100).run_name().endswith("_no-step-decay_limit100")
    assert CifarSettings(data_dir="/data").run_name() == CifarSettings().run_name()


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", "resnet"), ("train", "tail"), ("image_size", 31), ("image_size", 64.0), ("lr", 0)],
)
def test_a_wrong_value_of_part_2_is_named_with_its_flag(name, value):
    with pytest.raises(UsageError) as caught:
        EurosatSettings(**{name: value})
    assert str(caught.value).startswith("--" + name.replace("_", "-"))
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("model", "known"), ARCHITECTURES.items())
def test_the_smallest_image_size_is_named(model, known):
    EurosatSettings(model=model, image_size=known.smallest)
    with pytest.raises(UsageError, match=f"{model} needs a whole number from {known.smallest} up"):
        EurosatSettings(model=model, image_size=known.smallest - 1)


def test_what_is_left_out_follows_from_the_network():
    for model, known in ARCHITECTURES.items():
        settings = EurosatSettings(model=model)
        assert (settings.image_size, settings.train) == (known.image_size, "all")


@pytest.mark.parametrize("train", ["head", "head-then-all"])
def test_a_head_without_weights_makes_no_sense(train):
    with pytest.raises(UsageError, match="a head can't learn from layers that never did"):
        EurosatSettings(train=train)


def test_augmentation_without_effect_is_refused():
    with pytest.raises(UsageError, match="--augment with --train head has no effect"):
        EurosatSettings(weights="imagenet", train="head", augment=True)
    EurosatSettings(weights="imagenet", train="head-then-all", augment=True)


def test_run_names_of_part_2_differ_wherever_results_may():
    changes = [
        {},
        {"model": "alexnet"},
        {"weights": "imagenet"},
        {"weights": "imagenet", "train": "head"},
        {"weights": "imagenet", "train": "head-then-all"},
        {"weights": "/folder/other.weights.h5", "train": "head"},
        {"weights": "/folder/imagenet.npz"},
        {"image_size": 128},
        {"split": "spatial"},
        {"split": "/folder/mine"},
        {"split": "/folder/spatial"},
        {"split": "."},
        {"seed": 1},
        {"augment": True},
    ]
    names = [EurosatSettings(**change).run_name() for change in changes]
    assert len(set(names)) == len(names)
    assert EurosatSettings(archive="a.zip").run_name() == EurosatSettings().run_name()
    size = ARCHITECTURES["mobilenetv2"].image_size
    assert names[5] == f"eurosat_mobilenetv2_other.weights.h5_head_{size}px_lr0.001_epochs10_seed0"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": "x.txt"}, r"ends in one of \.pth, .*\.weights\.h5"),
        ({"weights": "imagenet", "model": "alexnet-bvlc"}, "name a file, such as bvlc_alexnet.npy"),
        ({"data": "sample", "split": "google"}, "names pictures of EuroSAT"),
    ],
)
def test_what_does_not_go_together_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        EurosatSettings(**values)
