import keras
import pytest
from keras import layers

from tfmodels.models.catalog import build
from tfmodels.models.flop import forward_flop, training_flop


def flop_of(shape: tuple[int, ...], *stack: keras.layers.Layer) -> int | None:
    return forward_flop(keras.Sequential([keras.Input(shape), *stack]))


@pytest.mark.parametrize(
    ("layer", "multiply_adds"),
    [
        (layers.Conv2D(8, 3), 6 * 6 * 8 * 9 * 4),
        (layers.Conv2D(8, (3, 1), strides=2, padding="same"), 4 * 4 * 8 * 3 * 4),
        (layers.Conv2D(8, 3, groups=4), 6 * 6 * 8 * 9 * 1),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 6 * 9 * 8),
        (layers.SeparableConv2D(5, 3, strides=2), 3 * 3 * (9 * 4 + 4 * 5)),
        (layers.Conv2DTranspose(5, 2, strides=2), 8 * 8 * 4 * 4 * 5),
        (layers.Dense(7), 8 * 8 * 4 * 7),
        (layers.TimeDistributed(layers.Activation("relu")), 0),
    ],
)
def test_layers_against_counts_by_hand(layer: keras.layers.Layer, multiply_adds: int) -> None:
    assert flop_of((8, 8, 4), layer) == 2 * multiply_adds


def test_nested_models_and_layers_that_are_called_twice() -> None:
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5)])
    shared = layers.Dense(5, use_bias=False)
    inputs = keras.Input((6,))
    outputs = shared(shared(inner(inputs)))
    assert forward_flop(keras.Model(inputs, outputs)) == 2 * (6 * 5 + 2 * 5 * 5)


def test_the_studys_networks_against_published_and_hand_counts() -> None:
    convolutions = 32 * 32 * 9 * (3 * 32 + 32 * 32) + 16 * 16 * 9 * (32 * 64 + 64 * 64)
    vgg = convolutions + 8 * 8 * 64 * 256 + 256 * 10
    assert forward_flop(build("vgg", (32, 32, 3), 10, 32)) == 2 * vgg
    # torchvision's page: 0.71 and 0.3 GFLOPS (multiply-adds) at 224 pixels for 1,000 classes.
    for name, published in (("alexnet", 0.71e9), ("mobilenetv2", 0.30e9)):
        found = forward_flop(build(name, (224, 224, 3), 1000, 224))
        assert found == pytest.approx(2 * published, rel=0.02)


def test_a_training_counts_three_passes_an_epoch_and_features_once() -> None:
    inputs = keras.Input((8, 8, 3))
    features = layers.GlobalAveragePooling2D(name="features")(layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, layers.Dense(10)(features))
    extractor, head = 2 * 6 * 6 * 4 * 27, 2 * 4 * 10
    assert training_flop(model, "all", 5, [4]) == 5 * 3 * 4 * (extractor + head)
    assert training_flop(model, "head", 5, [4]) == 5 * (extractor + 3 * 4 * head)
    both = 5 * (extractor + 3 * 2 * head + 3 * 4 * (extractor + head))
    assert training_flop(model, "head-then-all", 5, [2, 4]) == both


class Block(keras.Model):
    """A subclassed model, whose layers' calls Keras doesn't record."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.Conv2D(4, 3)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.inner(x)


@pytest.mark.parametrize(
    "layer",
    [
        Block(),
        layers.TimeDistributed(layers.Dense(7)),
        layers.EinsumDense("abcd,de->abce", (None, None, 7)),
        keras.Sequential([layers.Input((None, None, 4)), layers.Conv2D(4, 3)]),
    ],
)
def test_it_is_unknown_of_layers_that_are_not_counted(layer: keras.layers.Layer) -> None:
    assert flop_of((8, 8, 4), layer) is None


def test_it_is_unknown_where_images_may_have_any_size() -> None:
    inputs = keras.Input((None, None, 3))
    features = layers.GlobalAveragePooling2D(name="features")(layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, layers.Dense(10)(features))
    assert forward_flop(model) is None
    assert training_flop(model, "all", 5, [4]) is None
