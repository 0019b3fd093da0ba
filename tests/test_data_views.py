import numpy as np
import pytest

from tfmodels.data.catalog import VIEWS
from tfmodels.data.views import average_views

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)


def seen(views: str) -> list[np.ndarray]:
    """Return the views that a network is asked to predict."""
    found: list[np.ndarray] = []

    def predict(images: np.ndarray) -> np.ndarray:
        found.append(images)
        return np.full((len(images), 2), len(found), np.float32)

    mean = average_views(predict, IMAGES, views)
    np.testing.assert_allclose(mean, np.full((2, 2), (len(found) + 1) / 2))
    return found


@pytest.mark.parametrize(("views", "count"), zip(VIEWS, (1, 2, 10, 8), strict=True))
def test_views_differ_and_the_first_is_the_image(views: str, count: int) -> None:
    found = seen(views)
    np.testing.assert_array_equal(found[0], IMAGES)
    assert len({view.tobytes() for view in found}) == len(found) == count
    assert {view.shape for view in found} == {IMAGES.shape}


def test_a_mirror_image_is_the_other_way_round() -> None:
    np.testing.assert_array_equal(seen("mirror")[1][:, :, 0], IMAGES[:, :, 3])


def test_shifts_are_by_knights_moves_and_fill_by_reflection() -> None:
    shifted = seen("shifts")[2]
    np.testing.assert_array_equal(shifted[:, :3, :2], IMAGES[:, 1:, 2:])
    np.testing.assert_array_equal(shifted[:, 3, :2], IMAGES[:, 2, 2:])
    np.testing.assert_array_equal(shifted[:, :3, 2], IMAGES[:, 1:, 2])


def test_the_turns_of_a_turned_image_are_the_same_views() -> None:
    views = {view[0].tobytes() for view in seen("turns")}
    assert {np.ascontiguousarray(np.rot90(view[0])).tobytes() for view in seen("turns")} == views
