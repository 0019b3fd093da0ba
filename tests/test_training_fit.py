import csv
import dataclasses
import re
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfmodels.config import Config
from tfmodels.data.images import ImageData, Split
from tfmodels.errors import RunError
from tfmodels.models.vgg import vgg
from tfmodels.training.callbacks import HISTORY_COLUMNS
from tfmodels.training.fit import predict, train_model

TINY = Config(data="sample", epochs=3, batch_size=32, lr=0.01, step_size=2, gamma=0.5)
Trained = tuple[keras.Model, Path, str]


def tiny_model(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return vgg(filters=(4,), block_dropout=(0.1,), dense_units=8)


def read_history(directory: Path) -> tuple[list[str], list[dict[str, str]]]:
    with (directory / "history.csv").open() as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or []), list(reader)


def column(directory: Path, name: str) -> list[float]:
    return [float(row[name]) for row in read_history(directory)[1]]


def train(model: keras.Model, data: ImageData, config: Config, start: int = 0) -> None:
    """Train in a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder:
        train_model(model, data, config, Path(folder), start)


def accuracy(model: keras.Model, split: Split) -> float:
    return float((predict(model, split).argmax(axis=1) == split.labels).mean())


@pytest.fixture(scope="module")
def trained(sample_data: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A tiny model after three epochs, its directory, and what was printed meanwhile."""
    directory = tmp_path_factory.mktemp("run")
    model = tiny_model()
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("sys.stderr.write", printed.append, raising=False)
        train_model(model, sample_data, TINY, directory)
    return model, directory, "".join(printed)


def test_history_has_a_row_per_epoch_with_the_rate_it_was_trained_at(trained: Trained) -> None:
    columns, rows = read_history(trained[1])
    assert tuple(columns) == HISTORY_COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert column(trained[1], "lr") == [0.01, 0.01, 0.005]
    assert min(column(trained[1], "seconds")) > 0


def test_a_line_per_epoch_is_printed(trained: Trained) -> None:
    lines = [line for line in trained[2].splitlines() if line.startswith("epoch")]
    assert len(lines) == 3
    loss = float(read_history(trained[1])[1][1]["loss"])
    assert re.match(rf"epoch 2/3  loss {loss:.3f}  acc [\d.]+  val [\d.]+  lr 0.01  ", lines[1])


def test_training_lowers_the_loss(trained: Trained) -> None:
    losses = column(trained[1], "loss")
    assert losses[-1] < losses[0] < 3


def test_with_a_constant_schedule_the_rate_stays(sample_data: ImageData, tmp_path: Path) -> None:
    train_model(tiny_model(), sample_data, dataclasses.replace(TINY, schedule="constant"), tmp_path)
    assert column(tmp_path, "lr") == [0.01] * 3


def test_the_last_and_the_best_network_are_kept(
    trained: Trained, sample_data: ImageData, tf_test: Any
) -> None:
    model, directory, _ = trained
    last = keras.models.load_model(directory / "model.keras")
    tf_test.assertAllEqual(predict(last, sample_data.val), predict(model, sample_data.val))
    best = keras.models.load_model(directory / "best.keras")
    assert accuracy(best, sample_data.val) == pytest.approx(max(column(directory, "val_accuracy")))
    assert not list(directory.rglob(".part*"))


def test_tensorboard_logs_are_written(trained: Trained) -> None:
    events = [f for f in (trained[1] / "tensorboard").rglob("*tfevents*") if f.stat().st_size > 100]
    assert {file.parent.name for file in events} == {"train", "validation"}


def test_the_same_seed_gives_the_same_network(
    trained: Trained, sample_data: ImageData, tf_test: Any
) -> None:
    again = tiny_model()
    train(again, sample_data, TINY)
    first = predict(trained[0], sample_data.test)
    tf_test.assertAllEqual(predict(again, sample_data.test), first)
    other = tiny_model()
    train(other, sample_data, dataclasses.replace(TINY, seed=1))
    tf_test.assertNotAllEqual(predict(other, sample_data.test), first)


def test_training_further_from_given_weights_has_another_order(
    sample_data: ImageData, tf_test: Any
) -> None:
    models = [tiny_model() for _ in range(2)]
    for start, model in enumerate(models):
        train(model, sample_data, dataclasses.replace(TINY, epochs=1), start=start)
    tf_test.assertNotAllClose(models[0].get_weights()[0], models[1].get_weights()[0])


def test_predictions_are_in_the_splits_order(
    trained: Trained, sample_data: ImageData, tf_test: Any
) -> None:
    images = sample_data.test.images[np.arange(len(sample_data.test))]
    expected = trained[0].predict(images, verbose=0)
    tf_test.assertAllClose(predict(trained[0], sample_data.test), expected, atol=1e-6)


def test_early_stopping_keeps_the_best_epoch(
    sample_data: ImageData, tmp_path: Path, tf_test: Any
) -> None:
    config = dataclasses.replace(TINY, epochs=30, early_stopping=1, lr=0.03, schedule="constant")
    model = tiny_model()
    train_model(model, sample_data, config, tmp_path)
    accuracies = column(tmp_path, "val_accuracy")
    assert len(accuracies) < 30
    assert accuracies[-1] <= max(accuracies[:-1])
    assert accuracy(model, sample_data.val) == pytest.approx(max(accuracies))
    kept = keras.models.load_model(tmp_path / "model.keras")
    tf_test.assertAllEqual(predict(kept, sample_data.val), predict(model, sample_data.val))


@pytest.mark.parametrize("early_stopping", [None, 1])
def test_the_moving_average_is_what_is_judged_and_kept(
    trained: Trained,
    sample_data: ImageData,
    tmp_path: Path,
    tf_test: Any,
    early_stopping: int | None,
) -> None:
    config = dataclasses.replace(TINY, ema=0.9, early_stopping=early_stopping)
    averaged = tiny_model()
    train_model(averaged, sample_data, config, tmp_path)
    tf_test.assertNotAllClose(averaged.get_weights()[0], trained[0].get_weights()[0])
    accuracies = column(tmp_path, "val_accuracy")
    expected = accuracies[-1] if early_stopping is None else max(accuracies)
    assert accuracy(averaged, sample_data.val) == pytest.approx(expected)
    kept = keras.models.load_model(tmp_path / "model.keras")
    tf_test.assertAllEqual(predict(kept, sample_data.val), predict(averaged, sample_data.val))


def test_the_moving_average_against_the_formula(sample_data: ImageData, tf_test: Any) -> None:
    one_step = dataclasses.replace(TINY, batch_size=320, epochs=1, schedule="constant", lr=0.1)
    start = tiny_model().get_weights()[0]
    averaged, plain = tiny_model(), tiny_model()
    train(plain, sample_data, dataclasses.replace(one_step, optimizer="sgd"))
    train(averaged, sample_data, dataclasses.replace(one_step, optimizer="sgd", ema=0.75))
    # Keras starts its average with the weights after the first step.
    assert abs(plain.get_weights()[0] - start).max() > 1e-4
    tf_test.assertAllClose(averaged.get_weights()[0], plain.get_weights()[0], atol=1e-6)


def test_class_weights_favour_rare_classes(sample_data: ImageData) -> None:
    frequent = np.flatnonzero((sample_data.train.labels < 5) | (np.arange(320) < 60))
    data = dataclasses.replace(sample_data, train=sample_data.train.select(frequent))
    shares = []
    for class_weights in (False, True):
        model = tiny_model()
        train(model, data, dataclasses.replace(TINY, class_weights=class_weights, epochs=6))
        shares.append((predict(model, data.test).argmax(axis=1) >= 5).mean())
    assert shares[1] > shares[0]


def test_clipped_gradients_move_weights_by_no_more(sample_data: ImageData) -> None:
    config = dataclasses.replace(
        TINY, optimizer="sgd", clip_norm=0.001, lr=1.0, epochs=1, batch_size=320
    )
    model = tiny_model()
    start = model.get_layer("logits").get_weights()[0]
    train(model, sample_data, config)
    moved = np.linalg.norm(model.get_layer("logits").get_weights()[0] - start)
    # One step of Nesterov momentum 0.9 takes 1.9 times the clipped gradient.
    assert moved == pytest.approx(0.0019, rel=1e-2)


def test_a_loss_that_is_no_number_ends_the_run_with_advice(sample_data: ImageData) -> None:
    message = r"loss became nan in epoch 1, step 2, with learning rate 1e30: lower `lr`"
    with pytest.raises(RunError, match=message):
        train(tiny_model(), sample_data, dataclasses.replace(TINY, lr=1e30, batch_size=8))
