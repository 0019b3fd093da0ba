"""Windows that cover one side of a scene, and the cells whose class they decide together."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Axis:
    """Windows along the height or the width of a scene.

    Attributes:
        starts: first pixel of each window.
        cells: the cells on which each window has a say.
        edges: first pixel of each cell, and one past the last.
    """

    starts: tuple[int, ...]
    cells: tuple[range, ...]
    edges: tuple[int, ...]


def cover(length: int, size: int, stride: int) -> Axis:
    """Return windows of a size, a stride apart, that cover a length.

    A cell is as long as the stride, so that each window covers `size / stride` of them whole. What
    is left at the end is one more cell, shorter, whose window is moved back into the scene.

    Args:
        length: pixels, at least `size`.
        size: of a window.
        stride: a divisor of `size`.
    """
    count = (length - size) // stride + 1
    each = size // stride
    starts = [stride * i for i in range(count)]
    cells = [range(i, i + each) for i in range(count)]
    edges = [stride * i for i in range(count + each)]
    if edges[-1] < length:
        starts.append(length - size)
        cells.append(range(len(edges) - 1, len(edges)))
        edges.append(length)
    return Axis(tuple(starts), tuple(cells), tuple(edges))
