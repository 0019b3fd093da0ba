from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss

from tfmodels.config import Config
from tfmodels.training.adam import Adam
from tfmodels.training.optimizers import SmoothedCrossentropy, build_loss, build_optimizer


@pytest.mark.parametrize(
    ("name", "expected"), [("adam", "Adam"), ("adamw", "Adam"), ("sgd", "SGD"), ("muon", "Muon")]
)
def test_optimizers_take_their_settings(name: str, expected: str) -> None:
    decay = None if name == "muon" else 0.03
    config = Config(optimizer=name, lr=0.02, clip_norm=2.0, ema=0.9, weight_decay=decay)
    optimizer = build_optimizer(config, steps_per_epoch=5)
    assert type(optimizer).__name__ == expected
    assert float(optimizer.learning_rate) == pytest.approx(0.02)
    assert (optimizer.clipnorm, optimizer.use_ema, optimizer.ema_momentum) == (2.0, True, 0.9)
    assert optimizer.weight_decay == decay
    plain = build_optimizer(Config(optimizer=name), steps_per_epoch=5)
    assert (plain.clipnorm, plain.use_ema) == (None, False)
    assert plain.weight_decay == (0.004 if name == "adamw" else None)


def test_linear_falls_to_zero() -> None:
    schedule = build_optimizer(Config(schedule="linear", epochs=6, lr=0.4), 10)._learning_rate
    rates = [float(schedule(step)) for step in (0, 15, 30, 60)]
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0], abs=1e-6)


def test_the_default_is_pytorchs_adam(tf_test: Any) -> None:
    torch = pytest.importorskip("torch")
    start = np.linspace(-1, 1, 5, dtype=np.float32)
    ours, theirs = keras.Variable(start), torch.nn.Parameter(torch.tensor(start))
    optimizer = build_optimizer(Config(lr=0.1), steps_per_epoch=1)
    reference = torch.optim.Adam([theirs], lr=0.1)
    for _ in range(5):
        optimizer.apply([3 * ours * ours - 1], [ours])
        reference.zero_grad()
        (theirs**3 - theirs).sum().backward()
        reference.step()
    tf_test.assertAllClose(ours.numpy(), theirs.detach().numpy(), atol=1e-5)


def test_cosine_rises_in_the_warm_up_and_falls_to_zero() -> None:
    config = Config(schedule="cosine", warmup_epochs=2, epochs=6, lr=0.4)
    schedule = build_optimizer(config, steps_per_epoch=10)._learning_rate
    rates = [float(schedule(step)) for step in (0, 5, 10, 20, 40, 60)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.4, 0.2, 0], abs=1e-6)
    without = build_optimizer(Config(schedule="cosine", epochs=6, lr=0.4), 10)._learning_rate
    assert [float(without(step)) for step in (0, 30, 60)] == pytest.approx([0.4, 0.2, 0], abs=1e-6)


def test_label_smoothing_against_the_formula() -> None:
    labels = np.array([0, 2, 1, 2])
    logits = np.random.default_rng(0).normal(size=(4, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = 0.7 * np.eye(3)[labels] + 0.3 / 3
    expected = -(targets * np.log(probabilities)).sum(axis=1).mean()
    loss = build_loss(Config(label_smoothing=0.3))
    assert float(loss(labels, probabilities)) == pytest.approx(expected, rel=1e-6)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, SmoothedCrossentropy)
    assert float(again(labels, probabilities)) == pytest.approx(expected, rel=1e-6)


def test_without_smoothing_it_is_the_log_loss() -> None:
    labels = np.array([0, 1, 1])
    probabilities = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
    loss = build_loss(Config())
    assert float(loss(labels, probabilities)) == pytest.approx(log_loss(labels, probabilities))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_adam_is_keras_adam(precision: str, tf_test: Any) -> None:
    start = np.random.default_rng(0).normal(size=(3, 4)).astype(precision)
    settings: Any = {"beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.1, "clipnorm": 0.5}
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.0)
    found = []
    for kind in (Adam, keras.optimizers.Adam):
        variable = keras.Variable(start, dtype=precision)
        optimizer = kind(schedule, **settings)
        for _ in range(10):
            optimizer.apply([variable**2 - 1], [variable])
        found.append([variable, *optimizer.variables])
    for ours, theirs in zip(*found, strict=True):
        tf_test.assertAllClose(ours, theirs, atol=1e-6)
