"""A network and a data set as small as can be, which tests add to the catalogues."""

import keras
import numpy as np

from tfmodels.config import Config
from tfmodels.data.catalog import DatasetSpec
from tfmodels.data.images import ImageData
from tfmodels.models.catalog import NetworkSpec

TOY_NETWORK = NetworkSpec(
    "tests.toys:build", image_size=8, smallest=2, family="Toy", batch_norm=True
)
TOY_DATA = DatasetSpec("tests.toys:load", "toy", ("halves",))


def build(input_shape: tuple[int, int, int], classes: int, image_size: int) -> keras.Model:
    """Build a network with batch norm, dropout and the boundary that all networks have."""
    layers = keras.layers
    inputs = keras.Input(input_shape, name="pixels")
    x = layers.Resizing(image_size, image_size, name="resize")(inputs, training=False)
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1")(x)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.GlobalMaxPooling2D(name="features")(x)
    x = layers.Dropout(0.2, name="head_dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="toy")


def arrays(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise images (n, 8, 8, 3) and labels (n,): red ones, green ones and blue ones."""
    labels = np.arange(n) % 3
    images = np.random.default_rng(seed).integers(0, 200, (n, 8, 8, 3), dtype="uint8")
    images[np.arange(n), :, :, labels] += 55
    return images, labels


def load(config: Config) -> ImageData:
    """Load 60 training, 30 validation and 30 test images in three classes."""
    names = ("red", "green", "blue")
    train, val, test = (
        arrays(n, 3 * config.seed_of_split() + i) for i, n in enumerate((60, 30, 30))
    )
    return ImageData.from_arrays(train, val, test, names, "toy")
