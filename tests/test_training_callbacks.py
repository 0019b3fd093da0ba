import re
from typing import Any

import keras
import pytest

from tfmodels.training.callbacks import Progress, clock, format_rate, step_decay
from tfmodels.training.state import State


def test_step_decay_against_a_table_written_by_hand() -> None:
    # PyTorch's StepLR(step_size=5, gamma=0.1) from 0.001.
    table = {0: 1e-3, 1: 1e-3, 4: 1e-3, 5: 1e-4, 9: 1e-4, 10: 1e-5, 14: 1e-5, 15: 1e-6, 19: 1e-6}
    for epoch, lr in table.items():
        assert step_decay(epoch, 0.001, 5, 0.1) == pytest.approx(lr, rel=1e-12)
    assert [step_decay(e, 1.0, 1, 0.5) for e in range(4)] == [1, 0.5, 0.25, 0.125]


def test_durations_and_rates_are_short() -> None:
    assert [clock(seconds) for seconds in (0.4, 59.6, 61, 3599, 3600, 36061)] == [
        "00:00", "01:00", "01:01", "59:59", "1:00:00", "10:01:01",
    ]  # fmt: skip
    rates = [format_rate(rate) for rate in (0.001, 1e-05, 0.00025, 0.1, 3, 0.012345)]
    assert rates == ["0.001", "1e-5", "2.5e-4", "0.1", "3", "0.0123"]


def progress_of_an_epoch(live: bool) -> Progress:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.00025))
    state = State(0, epoch=98)
    progress = Progress("head", state, epochs=1000, steps=2)
    progress.live = live
    progress.set_model(model)
    progress.on_train_begin()
    progress.on_epoch_begin(98)
    for batch in range(2):
        progress.shown -= 1  # a second ago
        state.step += 1
        progress.on_train_batch_end(batch, {"loss": 1234.5, "accuracy": 1.0})
    logs: dict[str, Any] = {"loss": 1234.5, "accuracy": 1.0, "val_accuracy": 1.0}
    progress.on_epoch_end(98, logs)
    progress.on_train_end()
    return progress


def test_a_log_has_one_line_per_epoch_within_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress_of_an_epoch(live=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"head epoch 99/1000  loss 1234.500  acc 100.0  val 100.0  lr 2.5e-4  \d\d:\d\d left\n", err
    )
    assert len(err) <= 80


def test_a_terminal_counts_the_steps_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress_of_an_epoch(live=True)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    lines = err.replace("\n", "\r").split("\r")
    assert max(map(len, lines)) <= 79
    assert "step 1/2  loss 1234.500" in lines[1]
    assert "step 2/2" in lines[2]
    assert "val 100.0" in lines[3]
