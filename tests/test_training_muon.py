from typing import Any

import keras
import numpy as np
import pytest

from tfmodels.training.muon import Muon, orthogonal


def newton_schulz(matrix: np.ndarray, steps: int) -> np.ndarray:
    """Return what the iteration makes of a matrix, from its singular values alone."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / np.linalg.norm(matrix)
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    result: np.ndarray = left @ np.diag(values) @ right
    return result


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 3, 7), (2, 2, 1, 4)])
def test_the_iteration_against_singular_values(shape: tuple[int, ...], tf_test: Any) -> None:
    kernel = np.random.default_rng(0).normal(size=shape).astype("float32")
    for steps in (1, 3, 5):
        found = np.asarray(orthogonal(keras.ops.convert_to_tensor(kernel), steps))
        expected = newton_schulz(kernel.reshape(-1, shape[-1]), steps).reshape(shape)
        tf_test.assertAllClose(found, expected, atol=1e-4)
    singular = np.linalg.svd(found.reshape(-1, shape[-1]), compute_uv=False)
    assert 0.6 < singular.min() <= singular.max() < 1.25


def torch_updates(kernel: np.ndarray, bias: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Update a kernel (outputs, inputs, height, width) as airbench94_muon does, a bias by Adam."""
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.tensor(kernel))
    other = torch.nn.Parameter(torch.tensor(bias))
    adam = torch.optim.Adam([other], lr=0.24 * 0.5, betas=(0.9, 0.99))
    buffer = torch.zeros_like(weight)
    for _ in range(count):
        adam.zero_grad()
        weight.grad = None
        (weight**3 - weight).sum().backward()
        (other**4 - other).sum().backward()
        adam.step()
        with torch.no_grad():
            buffer.mul_(0.6).add_(weight.grad)
            gradient = weight.grad.add(buffer, alpha=0.6)
            weight.mul_(len(weight) ** 0.5 / weight.norm())
            x = gradient.reshape(len(gradient), -1)
            x = x / (x.norm() + 1e-7)
            for _ in range(3):
                square = x @ x.T
                x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
            weight.add_(x.view_as(weight), alpha=-0.24)
    return weight.detach().numpy(), other.detach().numpy()


def test_ten_updates_against_pytorch(tf_test: Any) -> None:
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(6, 4, 3, 3)).astype("float32")
    bias = rng.normal(size=5).astype("float32")
    ours = keras.Variable(kernel.transpose(2, 3, 1, 0)), keras.Variable(bias)
    optimizer = Muon(adam_rate=0.5)
    for _ in range(10):
        gradients = 3 * ours[0] ** 2 - 1, 4 * ours[1] ** 3 - 1
        optimizer.apply(gradients, ours)
    expected = torch_updates(kernel, bias, 10)
    tf_test.assertAllClose(ours[0].numpy().transpose(3, 2, 0, 1), expected[0], atol=1e-4)
    tf_test.assertAllClose(ours[1].numpy(), expected[1], atol=1e-5)


def test_depthwise_kernels_are_left_to_adam(tf_test: Any) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 1)).astype("float32")
    ours, theirs = keras.Variable(kernel), keras.Variable(kernel)
    Muon(0.1, adam_rate=0.5).apply([kernel], [ours])
    keras.optimizers.Adam(0.05, beta_2=0.99, epsilon=1e-8).apply([kernel], [theirs])
    tf_test.assertAllClose(ours, theirs)


def test_it_is_built_again_from_its_config() -> None:
    optimizer = Muon(0.1, adam_rate=2.0, momentum=0.7, steps=4, use_ema=True)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, Muon)
    assert again.get_config() == optimizer.get_config()


def test_a_kernel_of_zeros_learns() -> None:
    kernel = keras.Variable(np.zeros((3, 3, 4, 4), "float32"))
    Muon(0.1).apply([np.ones(kernel.shape, "float32")], [kernel])
    assert np.isfinite(np.array(kernel)).all()
    assert np.linalg.norm(kernel) > 0
