"""Floating-point operations (FLOP) of a network, as papers count them."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import layers

from tfmodels.models.parts import classifier_head, feature_extractor

TRAINING = 3  # times the forward pass: the backward pass counts twice as much

# Each value of a kernel is multiplied once at each position of the output, or of the input where
# that is the smaller map.
_CONVOLUTIONS = (
    *(layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D),
    *(layers.DepthwiseConv2D, layers.SeparableConv1D, layers.SeparableConv2D),
)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


def forward_flop(model: keras.Model) -> int | None:
    """Return the FLOP of one image's forward pass through a functional or sequential model.

    Two for each multiply-add of a convolution, grouped, depthwise, separable and transposed ones
    included, or of a dense layer; everything else is left out. A layer that is called twice
    counts twice. None if the model takes images of any size, or if another layer has a kernel.
    """
    counts = [_multiply_adds(node) for node in _calls(model)]
    known = [count for count in counts if count is not None]
    return 2 * sum(known) if len(known) == len(counts) else None


def training_flop(
    model: keras.Model, trainable: str, images: int, epochs: Sequence[int]
) -> int | None:
    """Return the FLOP of a training: three forward passes for each image in each epoch.

    Features are computed once, by a forward pass. None as of `forward_flop`.

    Args:
        model: that is trained.
        trainable: which layers learn, as of `Config`.
        images: in the training split.
        epochs: of each stage.
    """
    if forward_flop(model) is None:
        return None
    passes = [(model, TRAINING * epochs[-1])]
    if trainable != "all":
        passes = [(feature_extractor(model), 1), (classifier_head(model), TRAINING * epochs[0])]
    if trainable == "head-then-all":
        passes.append((model, TRAINING * epochs[1]))
    return images * sum(times * (forward_flop(part) or 0) for part, times in passes)


def _calls(model: keras.Model) -> Iterator["keras.src.ops.node.Node"]:
    """Yield each call of a layer, also within nested models that are functional or sequential."""
    for node in itertools.chain.from_iterable(_graph(model)._nodes_by_depth.values()):
        if hasattr(_graph(node.operation), "_nodes_by_depth"):
            yield from _calls(node.operation)
        elif not node.is_input:
            yield node


def _graph(model: Any) -> Any:
    return model._functional if isinstance(model, keras.Sequential) else model


def _multiply_adds(node: "keras.src.ops.node.Node") -> int | None:
    layer = node.operation
    weights = getattr(layer, "weights", ())  # which mere operations don't have
    kernels = [weight for weight in weights if weight.name.endswith("kernel")]
    if isinstance(layer, _CONVOLUTIONS):
        shape = node.outputs[0].shape
    elif isinstance(layer, _TRANSPOSED):
        shape = node.input_tensors[0].shape
    elif isinstance(layer, layers.Dense):
        shape = (*node.outputs[0].shape[:-1], None)
    else:
        return None if kernels else 0
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    positions = shape[2:] if channels_first else shape[1:-1]
    if None in positions:
        return None
    return int(math.prod(positions) * sum(math.prod(kernel.shape) for kernel in kernels))
