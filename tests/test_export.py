import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from tests import toys
from tests.conftest import change_json
from tfmodels import cli
from tfmodels.config import Config
from tfmodels.errors import RunError, UsageError
from tfmodels.export import export
from tfmodels.export.export import export_run
from tfmodels.export.formats import FORMATS, QUANTIZED
from tfmodels.export.runtimes import load_exported
from tfmodels.export.writers import write_network
from tfmodels.models.catalog import build
from tfmodels.prediction.networks import load_network, predictor
from tfmodels.prediction.predict import predict_files
from tfmodels.report.index import write_index
from tfmodels.runs.contents import find_runs, open_run
from tfmodels.runs.manifest import write_manifest
from tfmodels.safe_files import read_json

RUNTIMES = [form for form in FORMATS if form != "saved_model"]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (20, 8, 8, 3), dtype="uint8")


@pytest.fixture(scope="module")
def exports(toy_runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The first toy run, exported in each format that has a runtime."""
    folder = tmp_path_factory.mktemp("exports")
    for form in RUNTIMES:
        export_run(open_run(toy_runs[0]), form, folder / form)
    return {form: folder / form for form in RUNTIMES}


@pytest.mark.parametrize("form", RUNTIMES)
def test_an_export_predicts_as_its_run(
    form: str, exports: dict[str, Path], toy_runs: list[Path], images: np.ndarray
) -> None:
    classify, shapes = predictor(open_run(exports[form]))
    expected, _ = predictor(open_run(toy_runs[0]))
    assert shapes == {(8, 8, 3)}
    for count in (20, 7, 1):  # also of another size than before
        batch = {(8, 8, 3): images[:count]}
        np.testing.assert_allclose(classify(batch), expected(batch), atol=1e-5)


def test_a_saved_model_is_read_by_tensorflow_and_not_by_predict(
    toy_runs: list[Path], images: np.ndarray, tmp_path: Path
) -> None:
    check = export_run(open_run(toy_runs[0]), "saved_model", tmp_path / "out")
    assert check.difference < 1e-5
    layer = keras.layers.TFSMLayer(tmp_path / "out" / "saved_model", call_endpoint="serve")
    expected = load_network(open_run(toy_runs[0])).predict(images, verbose=0)
    np.testing.assert_allclose(layer(images), expected, atol=1e-5)
    with pytest.raises(UsageError, match="whose operations may write files"):
        predictor(open_run(tmp_path / "out"))


def test_files_are_predicted_by_an_export_as_by_its_run(
    exports: dict[str, Path], toy_runs: list[Path], images: np.ndarray, tmp_path: Path
) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
    tables = []
    for path in (toy_runs[0], exports["onnx"]):
        out = tmp_path / "table.jsonl"
        predict_files([open_run(path)], [str(tmp_path / "images")], out)
        tables.append([json.loads(line) for line in out.read_text().splitlines()])
    for ours, theirs in zip(*tables, strict=True):
        assert ours["file"] == theirs["file"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)


def test_what_an_export_says_of_itself(exports: dict[str, Path], toy_runs: list[Path]) -> None:
    for form, path in exports.items():
        config = read_json(path / "config.json", dict[str, Any])
        assert config["export"] == {"format": form, "quantize": None}
        assert config["dataset"]["class_names"] == ["red", "green", "blue"]
        card = (path / "README.md").read_text()
        assert f"exported as {form}" in card
        assert "in this order: red, green, blue" in card
        metrics = open_run(toy_runs[0]).metrics()["test"]
        assert f"| test | {100 * metrics['accuracy']:.2f} |" in card
    onnx.checker.check_model(str(exports["onnx"] / "model.onnx"), full_check=True)


@pytest.mark.parametrize(
    ("form", "quantize"), [(form, how) for form in QUANTIZED for how in QUANTIZED[form]]
)
def test_rounded_networks_are_small_and_judged_on_validation(
    form: str, quantize: str, toy_runs: list[Path], tmp_path: Path, images: np.ndarray
) -> None:
    run = open_run(toy_runs[0])
    check = export_run(run, form, tmp_path / "out", quantize)
    assert check.accuracy is not None
    labels = run.predictions()["val"].labels
    load = toys.load(Config(split_seed=0)).val
    single = load_network(run).predict(load.images[np.arange(len(labels))], verbose=0)
    assert check.accuracy[0] == pytest.approx((single.argmax(axis=1) == load.labels).mean())
    assert f"rounded to {quantize}" in (tmp_path / "out" / "README.md").read_text()
    found, _ = predictor(open_run(tmp_path / "out"))
    expected, _ = predictor(run)
    batch = {(8, 8, 3): images}
    np.testing.assert_allclose(found(batch), expected(batch), atol=0.1)


def test_rounding_makes_a_real_network_smaller(tmp_path: Path) -> None:
    model = build("airbench-small", (32, 32, 3), 10, 32)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype="uint8")
    sizes = {}
    for how in (None, "float16", "int8"):
        folder = tmp_path / str(how)
        folder.mkdir()
        write_network(model, "litert", how, pixels, folder)
        sizes[how] = (folder / "model.tflite").stat().st_size
    assert sizes["int8"] < 0.45 * sizes[None]
    assert sizes["float16"] < 0.65 * sizes[None]


def test_onnx_has_the_exact_gelu_normalisation_and_groups_in_nested_networks_too(
    images: np.ndarray, tmp_path: Path
) -> None:
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[100, 120, 140], variance=[900, 1600, 2500])(inputs)
    x = layers.Conv2D(4, 3)(x)
    x = layers.Conv2D(4, 3, groups=4, padding="same", activation="relu")(x)
    x = layers.Conv2D(6, 2, groups=2, strides=2, use_bias=False)(x)
    x = layers.Activation("gelu")(x)
    nested, outer = keras.Model(inputs, x), keras.Input((8, 8, 3))
    model = keras.Model(outer, layers.GlobalAveragePooling2D()(nested(outer)))
    write_network(model, "onnx", None, images, tmp_path)
    found = load_exported("onnx", tmp_path)(images)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-5)


def test_an_export_that_does_not_agree_is_not_kept(
    toy_runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(form: str, folder: Path) -> Any:
        exported = load_exported(form, folder)
        return lambda pixels: exported(255 - pixels)

    monkeypatch.setattr(export, "load_exported", wrong)
    with pytest.raises(RunError, match="differ by up to .* from Keras': it isn't kept"):
        export_run(open_run(toy_runs[0]), "onnx", tmp_path / "out")
    monkeypatch.setattr(export, "LARGEST_LOSS", -1.0)
    with pytest.raises(RunError, match="rounded, the network is right for .*: it isn't kept"):
        export_run(open_run(toy_runs[0]), "onnx", tmp_path / "out", "int8")
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_an_operation_that_a_format_lacks_is_not_loaded(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.ops.erfinv(inputs))
    write_network(model, "onnx", None, np.empty(0), tmp_path)  # as the converter only warns
    with pytest.raises(RunError, match=r"model\.onnx can't be used .*Erfinv"):
        load_exported("onnx", tmp_path)


def test_folders_of_runs_may_hold_exports(toy_runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(toy_runs[0])
    export_run(open_run(toy_runs[0]), "onnx", tmp_path / "run-onnx")
    assert find_runs([tmp_path]) == [tmp_path / "run"]
    write_index(tmp_path)
    assert "run-onnx" not in (tmp_path / "index.html").read_text()
    assert find_runs(sorted(tmp_path.glob("*[!x]"))) == [tmp_path / "run"]  # index.html with it


@pytest.mark.parametrize("form", RUNTIMES)
def test_a_damaged_export_is_refused(form: str, exports: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in exports[form].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (network,) = (
        path for path in copy.iterdir() if path.name in ("model.onnx", "model.tflite", "model.xml")
    )
    network.write_bytes(b"no network")
    with pytest.raises(RunError, match="doesn't match the manifest"):
        predictor(open_run(copy))
    write_manifest(copy)
    with pytest.raises(RunError, match="can't be used"):
        predictor(open_run(copy))


def test_exports_are_not_judged_or_exported(
    exports: dict[str, Path],
    toy_runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = open_run(exports["onnx"])
    with pytest.raises(UsageError, match="is an exported network: name the run"):
        run.predictions()
    for verb in ("report", "verify"):
        assert cli.main([verb, str(exports["onnx"])]) == 2
        assert "is an exported network: name the run" in capsys.readouterr().err
    with pytest.raises(UsageError, match="is exported already"):
        export_run(run, "litert", tmp_path / "out")
    with pytest.raises(UsageError, match="is a fusion: export its members"):
        export_run(open_run(toy_runs[2]), "litert", tmp_path / "out")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{dir}", "is not a complete run directory"),
        ("{run} --format tar", "invalid choice: 'tar'"),
        ("{run} --format onnx --quantize float16", "onnx can be rounded to int8"),
        ("{run} --format saved_model --quantize int8", "saved_model can be rounded to none"),
        ("{run} --out {dir}", "exists: choose another --out"),
    ],
)
def test_wrong_calls(
    line: str,
    message: str,
    toy_runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = line.format(run=toy_runs[0], dir=tmp_path).split()
    assert cli.main(["export", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command(
    toy_runs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", str(toy_runs[0]), "--format", "litert"]) == 0
    out = Path("exports") / f"{toy_runs[0].name}-litert"
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f"export: {out}"
    assert "the same class:  100.00%" in printed
    change_json(out / "config.json", export={"format": "onnx", "quantize": None})
    write_manifest(out)
    with pytest.raises(RunError, match=r"model\.onnx can't be used"):
        predictor(open_run(out))
