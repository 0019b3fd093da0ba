"""Export the network of a run, and check the file in its own runtime before it is kept."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmodels.data.images import ImageData, Images
from tfmodels.description import data_of
from tfmodels.errors import RunError, UsageError
from tfmodels.export.formats import QUANTIZED, check_new
from tfmodels.export.runtimes import Classify, load_exported
from tfmodels.export.writers import write_network
from tfmodels.prediction.networks import load_network
from tfmodels.report.templates import TEMPLATES
from tfmodels.runs.contents import CONFIG, Run
from tfmodels.runs.manifest import write_manifest
from tfmodels.safe_files import new_folder, write_json, write_text

CARD = "README.md"
LARGEST_DIFFERENCE = 1e-3  # of probabilities in float32
LARGEST_LOSS = 0.02  # of accuracy on validation, by rounding
CALIBRATING = 256  # training images
BATCH = 64  # images
ROUNDS = 5  # of each, in turn, for their speed


@dataclasses.dataclass(frozen=True)
class Check:
    """How an exported network compares with Keras on real images.

    Attributes:
        images: how many of the run's test images both classified.
        difference: the largest between their probabilities.
        agreement: share of images that both give the same class.
        speed: images a second.
        ratio: of that to Keras'.
        accuracy: on validation, fractions of Keras' and of the exported one; None if it is float32.
        size: bytes.
    """

    images: int
    difference: float
    agreement: float
    speed: float
    ratio: float
    accuracy: tuple[float, float] | None
    size: int


def export_run(run: Run, form: str, out: Path, quantize: str | None = None) -> Check:
    """Export the network of a run to a folder, which can be used as the run in predicting.

    It holds the network's file, `config.json` with the run's settings, classes and the shape of
    images, a model card and a manifest.

    Args:
        run: a training.
        form: one of `FORMATS`.
        out: folder to write, which mustn't exist.
        quantize: what to round weights to, int8 or float16; int8 rounds activations too, by
            training images.

    Returns:
        How it compares with Keras.

    Raises:
        UsageError: the run has no network of its own, or the format can't be rounded so.
        RunError: the exported network doesn't agree with Keras, or a file of the run is damaged.
    """
    if "members" in run.config or "export" in run.config:
        kind = "a fusion: export its members" if "members" in run.config else "exported already"
        raise UsageError(f"{run.path} is {kind}")
    possible = QUANTIZED.get(form, ())
    if quantize and quantize not in possible:
        raise UsageError(
            f"`quantize` is {quantize}: {form} can be rounded to {' or '.join(possible) or 'none'}"
        )
    check_new(out)
    model = load_network(run)
    data = data_of(run) if quantize else None
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(out) as part:
        write_network(model, form, quantize, _calibrating(data), part)
        check = _check(run, model, form, part, data)
        exported = {"format": form, "quantize": quantize}
        write_json(part / CONFIG, {**run.config, "export": exported})
        write_text(part / CARD, _card(run, exported, check))
        write_manifest(part)
    return check


def _calibrating(data: ImageData | None) -> np.ndarray:
    if data is None:
        return np.empty(0)
    rows = np.random.default_rng(0).permutation(len(data.train))[:CALIBRATING]
    return data.train.images[np.sort(rows)]


def _check(run: Run, model: keras.Model, form: str, part: Path, data: ImageData | None) -> Check:
    """Compare the exported network with Keras' one.

    Raises:
        RunError: they don't agree.
    """
    exported = _loaded(form, part)
    known = run.images("sample.npz") | run.images("mistakes.npz")
    images = np.stack(list(known.values()))
    both = model.predict_on_batch, exported
    expected, found = (_classify(one, images, len(images)) for one in both)
    if found.shape != expected.shape:
        raise RunError(f"the exported network gives {found.shape}, not {expected.shape}")
    difference = float(abs(found - expected).max())
    accuracy = None
    if data is None and not difference <= LARGEST_DIFFERENCE:
        raise RunError(
            f"the exported network's probabilities differ by up to {difference:.2g} from Keras': "
            "it isn't kept"
        )
    if data is not None:
        before, after = (_accuracy(one, data) for one in both)
        accuracy = before, after
        if before - after > LARGEST_LOSS:
            raise RunError(
                f"rounded, the network is right for {after:.2%} of the validation images, "
                f"and before for {before:.2%}: it isn't kept"
            )
    keras_speed, speed = _speeds(images, *both)
    return Check(
        images=len(images),
        difference=difference,
        agreement=float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        speed=speed,
        ratio=speed / keras_speed,
        accuracy=accuracy,
        size=sum(path.stat().st_size for path in part.rglob("*") if path.is_file()),
    )


def _loaded(form: str, part: Path) -> Classify:
    if form != "saved_model":
        return load_exported(form, part)
    loaded = tf.saved_model.load(str(part / form))  # which this process has written
    return lambda images: loaded.serve(tf.constant(images)).numpy()


def _classify(classify: Classify, images: Images, count: int) -> np.ndarray:
    rows = (np.arange(i, min(i + BATCH, count)) for i in range(0, count, BATCH))
    return np.concatenate([classify(images[batch]) for batch in rows])


def _accuracy(classify: Classify, data: ImageData) -> float:
    found = _classify(classify, data.val.images, len(data.val))
    return float((found.argmax(axis=1) == data.val.labels).mean())


def _speeds(images: np.ndarray, *classifiers: Classify) -> list[float]:
    """Return the images a second of each, the best of some rounds in turn."""
    batch = images[np.arange(BATCH) % len(images)]
    times = [[_seconds(classify, batch) for classify in classifiers] for _ in range(ROUNDS)]
    return [BATCH / min(column) for column in zip(*times, strict=True)]


def _seconds(classify: Callable[[np.ndarray], Any], batch: np.ndarray) -> float:
    start = time.perf_counter()
    classify(batch)
    return time.perf_counter() - start


def _card(run: Run, exported: dict[str, str | None], check: Check) -> str:
    metrics = run.metrics()
    card: str = TEMPLATES.get_template("card.md").render(
        run=run,
        dataset=run.config["dataset"],
        views=run.config["settings"].get("views", "single"),
        exported=exported,
        check=check,
        metrics={split: metrics[split] for split in ("val", "test") if split in metrics},
    )
    return card
