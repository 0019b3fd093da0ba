from typing import Any

import numpy as np
import pytest

from tfmodels.data.augmentation import NUMBERS, Augment, crop_and_flip, turn_shift_brighten


def shifts(image: np.ndarray) -> list[np.ndarray]:
    """Return all 25 images that shifts by up to a sixteenth, two pixels, make."""
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    return [padded[i : i + 32, j : j + 32] for i in range(5) for j in range(5)]


@pytest.fixture
def image() -> np.ndarray:
    # Values far enough from 0 and 255 that a change of brightness cuts none off.
    return np.random.default_rng(0).integers(60, 190, (32, 32, 3), dtype="uint8")


def vary(augment: Augment, image: np.ndarray, times: int, seed: int = 0) -> np.ndarray:
    numbers = np.random.default_rng(seed).random((times, NUMBERS), np.float32)
    varied = augment(np.repeat(image[None], times, axis=0), numbers)
    assert varied.dtype == "uint8"
    return varied


def test_small_images_are_only_mirrored() -> None:
    image = np.arange(15 * 9 * 3, dtype="uint8").reshape(15, 9, 3)
    seen = {varied.tobytes() for varied in vary(crop_and_flip, image, 20)}
    assert seen == {image.tobytes(), image[:, ::-1].tobytes()}


def test_crop_and_flip_is_one_of_the_50_shifts_and_mirrors(image: np.ndarray) -> None:
    possible = {s[:, ::step].tobytes() for s in shifts(image) for step in (1, -1)}
    seen = {varied.tobytes() for varied in vary(crop_and_flip, image, 300)}
    assert seen <= possible
    assert len(seen) > 45  # 49.9 expected of 300 draws from 50


def test_land_is_turned_mirrored_shifted_and_made_brighter_or_darker(image: np.ndarray) -> None:
    turned = {}  # image less its first value -> which of the eight it is, and that value
    for shifted in shifts(image):
        for turn in range(8):
            candidate = np.rot90(shifted, turn % 4)[:, :: 1 if turn < 4 else -1].astype(int)
            turned[(candidate - candidate.flat[0]).tobytes()] = turn, candidate.flat[0]
    turns, changes = [], []
    for varied in vary(turn_shift_brighten, image, 400).astype(int):
        turn, first = turned[(varied - varied.flat[0]).tobytes()]
        turns.append(turn)
        changes.append(varied.flat[0] - first)
    assert min(np.bincount(turns, minlength=8)) > 25  # 50 expected of each
    assert -26 <= min(changes) < -22
    assert 22 < max(changes) <= 26


@pytest.mark.parametrize("value", [0, 255])
def test_brightness_stops_at_black_and_white(value: int) -> None:
    varied = vary(turn_shift_brighten, np.full((32, 32, 3), value, "uint8"), 40)
    assert abs(varied.astype(int) - value).max() <= 26


@pytest.mark.parametrize("augment", [crop_and_flip, turn_shift_brighten])
def test_an_image_follows_from_its_own_numbers_alone(
    augment: Augment, image: np.ndarray, tf_test: Any
) -> None:
    numbers = np.random.default_rng(1).random((5, NUMBERS), np.float32)
    images = np.stack([image, *np.zeros((3, *image.shape), "uint8"), image])
    together = augment(images, numbers)
    tf_test.assertAllEqual(augment(images[4:], numbers[4:])[0], together[4])
    tf_test.assertNotAllEqual(together[0], together[4])
