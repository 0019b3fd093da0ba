import csv
import dataclasses

import keras
import numpy as np
import pytest

from tfmodels.errors import RunError
from tfmodels.models.vgg import vgg
from tfmodels.config import CifarSettings
from tfmodels.training.fit import HISTORY_COLUMNS, predict, step_decay, train

TINY = CifarSettings(data="sample", epochs=3, batch_size=32, lr=0.01, step_size=2, gamma=0.5)


def tiny_model(seed=0):
    keras.utils.set_random_seed(seed)
    return vgg(filters=(4,), block_dropout=(0.1,), dense_units=8)


def test_step_decay_against_a_table_written_by_hand():
    # PyTorch's StepLR(step_size=5, gamma=0.1) from 0.001.
    table = {0: 1e-3, 1: 1e-3, 4: 1e-3, 5: 1e-4, 9: 1e-4, 10: 1e-5, 14: 1e-5, 15: 1e-6, 19: 1e-6}
    for epoch, lr in table.items():
        assert step_decay(epoch, 0.001, 5, 0.1) == pytest.approx(lr, rel=1e-12)
    assert [step_decay(e, 1.0, 1, 0.5) for e in range(4)] == [1, 0.5, 0.25, 0.125]


@pytest.fixture(scope="module")
def trained(sample_data, tmp_path_factory):
    """A tiny model after three epochs, its history and its directory."""
    directory = tmp_path_factory.mktemp("run")
    model = tiny_model()
    history = train(model, sample_data, TINY, directory)
    return model, history, directory


def read_history(directory):
    with (directory / "history.csv").open() as file:
        reader = csv.DictReader(file)
        return reader.fieldnames, list(reader)


def test_history_has_a_row_per_epoch_with_the_rate_it_was_trained_at(trained):
    _, history, directory = trained
    columns, rows = read_history(directory)
    assert tuple(columns) == HISTORY_COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["lr"]) for row in rows] == [0.01, 0.01, 0.005]
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert [float(row[key]) for row in rows] == pytest.approx(history.history[key])
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_training_lowers_the_loss(trained):
    losses = trained[1].history["loss"]
    assert losses[-1] < losses[0] < 3


def test_without_step_decay_the_rate_stays(sample_data, tmp_path):
    train(tiny_model(), sample_data, dataclasses.replace(TINY, step_decay=False), tmp_path)
    assert [float(row["lr"]) for row in read_history(tmp_path)[1]] == [0.01] * 3


def test_the_last_and_the_best_network_are_kept(trained, sample_data):
    model, history, directory = trained
    last = keras.models.load_model(directory / "model.keras")
    np.testing.assert_array_equal(predict(last, sample_data.val), predict(model, sample_data.val))
    best = keras.models.load_model(directory / "best.keras")
    accuracy = (predict(best, sample_data.val).argmax(1) == sample_data.val.labels).mean()
    assert accuracy == pytest.approx(max(history.history["val_accuracy"]))
    assert not list(directory.glob("part*"))


def test_tensorboard_logs_are_written(trained):
    events = [f for f in (trained[2] / "tensorboard").rglob("*tfevents*") if f.stat().st_size > 100]
    assert {file.parent.name for file in events} == {"train", "validation"}


def test_the_same_seed_gives_the_same_network(trained, sample_data):
    again = tiny_model()
    train(again, sample_data, TINY)
    np.testing.assert_array_equal(
        predict(again, sample_data.test), predict(trained[0], sample_data.test)
    )
    other = tiny_model()
    train(other, sample_data, dataclasses.replace(TINY, seed=1))
    assert (predict(other, sample_data.test) != predict(trained[0], sample_data.test)).any()


def test_predictions_are_in_the_splits_order(trained, sample_data):
    model = trained[0]
    images = np.concatenate([images for images, _ in sample_data.test.dataset.batch(1000)])
    np.testing.assert_allclose(predict(model, sample_data.test), model(images), atol=1e-6)


def test_a_loss_that_is_no_number_ends_the_run_with_advice(sample_data):
    with pytest.raises(RunError, match=r"loss became nan in epoch 1 at --lr 1e\+30: lower"):
        train(tiny_model(), sample_data, dataclasses.replace(TINY, lr=1e30, batch_size=8))
