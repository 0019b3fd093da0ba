import math

import pytest

from tfmodels.errors import UsageError
from tfmodels.settings import CifarSettings


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
