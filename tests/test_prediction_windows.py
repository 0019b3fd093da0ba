import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfmodels.prediction.windows import cover


def test_windows_side_by_side_and_one_moved_back() -> None:
    axis = cover(20, 8, 8)
    assert axis.starts == (0, 8, 12)
    assert [list(cells) for cells in axis.cells] == [[0], [1], [2]]
    assert axis.edges == (0, 8, 16, 20)


def test_windows_that_overlap() -> None:
    axis = cover(12, 8, 4)
    assert axis.starts == (0, 4)
    assert [list(cells) for cells in axis.cells] == [[0, 1], [1, 2]]
    assert axis.edges == (0, 4, 8, 12)


@given(data=st.data(), size=st.sampled_from([1, 6, 8]))
def test_every_pixel_is_decided_by_all_windows_that_cover_it(
    data: st.DataObject, size: int
) -> None:
    stride = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    length = data.draw(st.integers(size, 60))
    axis = cover(length, size, stride)
    found = [np.zeros(length, int) for _ in range(2)]
    for start, cells in zip(axis.starts, axis.cells, strict=True):
        assert 0 <= start <= length - size
        for cell in cells:
            first, last = axis.edges[cell], axis.edges[cell + 1]
            assert start <= first < last <= start + size
            found[0][first:last] += 1
    regular = range(0, length - size + 1, stride)
    for start in regular:
        found[1][start : start + size] += 1
    rest = regular[-1] + size  # is decided by the window that was moved back alone
    found[1][rest:] = 1
    assert found[0].tolist() == found[1].tolist()
    assert found[0].min() > 0


def test_a_scene_of_one_window() -> None:
    assert cover(8, 8, 8).edges == (0, 8)
    with pytest.raises(ZeroDivisionError):
        cover(8, 8, 0)
