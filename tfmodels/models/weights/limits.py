"""How much memory a file of weights may take, and what messages say of it."""

import math
from pathlib import Path

import keras

from tfmodels.errors import RunError
from tfmodels.safe_files import printable

IMAGENET_CLASSES = 1000  # published files hold a classifier for as many


def largest_size(model: keras.Model) -> int:
    """Return the bytes that weights for a model may take: twice those of its own.

    Twice, because a file's numbers may be float64; its own, with a classifier for ImageNet.
    """
    features, _ = model.get_layer("logits").kernel.shape
    own: int = sum(math.prod(variable.shape) for variable in model.variables)
    classifier: int = (features + 1) * IMAGENET_CLASSES
    return 2 * 4 * (own + classifier)


class Allowance:
    """What a file may still claim, before memory is allocated for it.

    Attributes:
        path: of the file.
        most: bytes that it may claim together.
    """

    def __init__(self, path: Path, most: int) -> None:
        self.path = path
        self.most = self.left = most

    def take(self, size: int) -> None:
        """Count what the file claims.

        Raises:
            RunError: it is too much.
        """
        self.left -= size
        if self.left < 0:
            raise RunError(
                f"{self.path} claims to hold more than {self.most:,} bytes of weights, twice what "
                "the network needs: is it of another network or `image_size`?"
            )


def fault(error: Exception) -> str:
    """Return what an error says, in a line that holds nothing a terminal would obey."""
    return printable(f"{type(error).__name__}: {error}")
