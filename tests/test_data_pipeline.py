from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from tfmodels.data.augmentation import MIRROR, crop_and_flip
from tfmodels.data.images import Split
from tfmodels.data.pipeline import (
    epoch_numbers,
    epoch_order,
    evaluation_batches,
    training_batches,
)


@pytest.fixture
def split() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype="uint8")
    return Split(images, np.arange(50).astype(str), np.arange(50))


def join(batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_an_epoch_holds_every_example_once_with_its_label(split: Split, tf_test: Any) -> None:
    images, labels = join(training_batches(split, 16, [0]))
    tf_test.assertAllEqual(np.sort(labels), np.arange(50))
    tf_test.assertAllEqual(images, split.images[labels])


def test_order_is_that_of_seed_and_epoch(split: Split, tf_test: Any) -> None:
    _, labels = join(training_batches(split, 16, [5, 1], epochs=3))
    orders = [epoch_order(50, [5, 1], epoch) for epoch in range(3)]
    tf_test.assertAllEqual(labels, np.concatenate(orders))
    others = [epoch_order(50, seed, 0) for seed in ([5, 0], [6, 1])]
    for other in [*orders[1:], *others]:
        tf_test.assertNotAllEqual(orders[0], other)


@pytest.mark.parametrize("first_step", [1, 4, 6])
def test_it_can_begin_at_any_step(split: Split, tf_test: Any, first_step: int) -> None:
    whole = training_batches(split, 16, [0], epochs=2, augment=crop_and_flip)
    rest = training_batches(split, 16, [0], epochs=2, first_step=first_step, augment=crop_and_flip)
    assert len(rest) == 8 - first_step
    for ours, theirs in zip(rest, whole.skip(first_step), strict=True):
        tf_test.assertAllEqual(ours[0], theirs[0])
        tf_test.assertAllEqual(ours[1], theirs[1])


def test_batch_sizes(split: Split) -> None:
    batches = training_batches(split, 16, [0], epochs=2)
    assert [len(labels) for _, labels in batches] == 2 * [16, 16, 16, 2]
    assert len(batches) == 8


def test_evaluation_keeps_images_and_order(split: Split, tf_test: Any) -> None:
    batches = evaluation_batches(split, 16)
    assert len(batches) == 4
    for _ in range(2):
        images, labels = join(batches)
        tf_test.assertAllEqual(images, split.images)
        tf_test.assertAllEqual(labels, np.arange(50))


def test_augmentation_follows_from_seed_epoch_and_image_alone(split: Split, tf_test: Any) -> None:
    def varied(batch_size: int, seed: int, epochs: int) -> np.ndarray:
        batches = training_batches(split, batch_size, [seed], epochs, augment=crop_and_flip)
        images, labels = join(batches)
        assert images.dtype == np.uint8
        last = slice(-50, None)
        return images[last][np.argsort(labels[last])]

    first = varied(16, 0, 1)
    tf_test.assertAllEqual(first, varied(7, 0, 1))
    tf_test.assertNotAllEqual(first, varied(16, 0, 2))
    tf_test.assertNotAllEqual(first, varied(16, 1, 1))


def test_mirroring_alternates_and_nothing_else_does(tf_test: Any) -> None:
    epochs = [epoch_numbers(400, [3], epoch) for epoch in range(3)]
    mirrored = [numbers[:, MIRROR] < 0.5 for numbers in epochs]
    assert 150 < mirrored[0].sum() < 250
    tf_test.assertAllEqual(mirrored[0], ~mirrored[1])
    tf_test.assertAllEqual(mirrored[0], mirrored[2])
    tf_test.assertAllEqual(mirrored[1], epoch_numbers(400, [3], 999_999)[:, MIRROR] < 0.5)
    others = [np.delete(numbers, MIRROR, axis=1).ravel() for numbers in epochs]
    assert abs(np.corrcoef(others)[np.triu_indices(3, 1)]).max() < 0.1
