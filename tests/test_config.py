import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from tfmodels.config import Config, flag, kind
from tfmodels.data.catalog import DATASETS
from tfmodels.errors import UsageError
from tfmodels.models.catalog import NETWORKS
from tfmodels.recipes import run_name


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
        ("model", "resnet"),
        ("trainable", "tail"),
        ("image_size", 3),
        ("image_size", 64.0),
        ("image_size", 99_999_999),
        ("optimizer", "lion"),
        ("schedule", "exponential"),
        ("warmup_epochs", 10),
        ("warmup_epochs", -1),
        ("weight_decay", -0.1),
        ("clip_norm", 0),
        ("label_smoothing", 1.0),
        ("ema", 1),
        ("early_stopping", 0),
        ("precision", "float8"),
        ("split_scheme", "spatial"),
        ("split_scheme", "group:_"),
        ("weights", "x.txt"),
    ],
)
def test_a_wrong_value_is_named_with_its_parameter(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        Config(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"`{name}` is {value!r}: it must be ")


def test_defaults_are_the_studys_best_row() -> None:
    config = Config()
    assert (config.data, config.model, config.image_size) == ("cifar10", "vgg", 32)
    assert (config.lr, config.epochs, config.schedule) == (0.001, 10, "step")
    assert run_name(config) == "cifar10_vgg_seed0"
    assert run_name(Config(data="eurosat")) == "eurosat_mobilenetv2_seed0"


def test_every_setting_has_a_type_and_a_flag() -> None:
    kinds = {kind(field) for field in dataclasses.fields(Config)}
    assert kinds == {str, int, float, bool}
    assert flag("batch_size") == "--batch-size"
    assert (flag("split_scheme"), flag("trainable")) == ("--split", "--train")


@pytest.mark.parametrize(("model", "spec"), NETWORKS.items())
def test_the_smallest_image_size_is_named(model: str, spec: Any) -> None:
    assert Config(model=model).image_size == spec.image_size
    assert Config(model=model, image_size=spec.smallest).image_size == spec.smallest
    with pytest.raises(UsageError, match=f"from {spec.smallest} to 4096 for {model}"):
        Config(model=model, image_size=spec.smallest - 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainable": "head"}, "`trainable=head` needs pretrained weights"),
        ({"trainable": "head-then-all"}, "needs pretrained weights"),
        (
            {"weights": "x.weights.h5", "trainable": "head", "augment": True},
            "`augment` has no effect with `trainable=head`",
        ),
        (
            {"weights": "x.weights.h5", "trainable": "head", "views": "mirror"},
            "`views` has no effect with `trainable=head`",
        ),
        ({"weights": "imagenet"}, "no download for vgg"),
        ({"weights": "imagenet", "model": "alexnet-bvlc"}, "no download for alexnet-bvlc"),
        ({"weights": "x.pth", "model": "mobilenetv2"}, r"ends in one of \.weights\.h5, \.keras$"),
        ({"data": "land-sample", "split_scheme": "google"}, "one of random, or a folder that"),
        ({"archive": "x.zip"}, "`archive` prepares EuroSAT, and `data` is cifar10"),
        ({"skip_damaged": True}, "`skip_damaged` is for a folder of images"),
        ({"warmup_epochs": 2}, "only `schedule=cosine` warms up"),
        ({"optimizer": "muon", "model": "alexnet", "weights": "imagenet"}, "without a batch norm"),
        ({"optimizer": "muon", "weight_decay": 0.1}, "`weight_decay` is 0.1 with `optimizer=muon`"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Config(**values)


def test_a_folder_of_images_has_split_schemes_of_its_own(tmp_path: Path) -> None:
    config = Config(data=str(tmp_path))
    assert (config.split_scheme, config.model) == ("random", "mobilenetv2")
    assert Config(data=str(tmp_path), split_scheme="group:_").split_scheme == "group:_"
    with pytest.raises(UsageError, match="one of random, group:SEPARATOR, or a folder"):
        Config(data=str(tmp_path), split_scheme="group:")
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    assert Config(data=str(tmp_path)).split_scheme == "folders"
    with pytest.raises(UsageError, match="it must be one of folders, for "):
        Config(data=str(tmp_path), split_scheme="random")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.keras"
    text.write_text("text")
    missing = str(tmp_path / "missing")
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"archive": str(text), "data": "eurosat"}, "`archive` .*text.keras is not a zip file"),
        ({"archive": missing, "data": "eurosat"}, "`archive` .*missing is not a zip file"),
        ({"weights": missing + ".keras"}, "none, imagenet or a readable file"),
        ({"data_dir": str(text)}, "`data_dir` .*text.keras is not a readable folder"),
        ({"data_dir": missing}, "`data_dir` .*missing is not a readable folder"),
    )
    for values, message in wrong:
        config = Config(**values)
        with pytest.raises(UsageError, match=message):
            config.check_files()
    Config(weights=str(text), data_dir=str(tmp_path)).check_files()


def test_a_data_dir_must_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read anything, so the system's answer is replaced, not the folder's mode.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UsageError, match="is not a readable folder"):
        Config(data_dir=str(tmp_path)).check_files()


def test_the_help_of_data_names_the_data_sets() -> None:
    (field,) = [field for field in dataclasses.fields(Config) if field.name == "data"]
    for name in DATASETS:
        assert name in field.metadata["help"]
