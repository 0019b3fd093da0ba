"""How networks are written in each format of `export.formats`."""

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tfmodels.errors import RunError
from tfmodels.export.formats import FILES
from tfmodels.safe_files import printable


def write_network(
    model: keras.Model, form: str, quantize: str | None, images: np.ndarray, folder: Path
) -> None:
    """Write a network to a folder.

    It takes pixels (n, height, width, channels) uint8 and gives probabilities (n, classes).

    Args:
        model: of float32.
        form: one of `FORMATS`.
        quantize: one of those that `QUANTIZED` has for it, or None.
        images: (n, height, width, channels) uint8 that int8 takes the ranges of activations from.
        folder: to write to.

    Raises:
        RunError: the format lacks an operation of the network.
        ModuleNotFoundError: the format's library isn't installed.
    """
    writers: dict[str, Callable[..., None]] = {
        "onnx": _write_onnx,
        "litert": _write_litert,
        "openvino": _write_openvino,
        "saved_model": _write_saved_model,
    }
    try:
        with _quiet():
            writers[form](model, quantize, images, folder)
    except ImportError as error:
        raise ModuleNotFoundError(f"{error}; pip install 'tfmodels[export]' has it") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # each converter raises its own
        raise RunError(f"{model.name} can't be exported as {form} ({printable(str(error))})") from (
            error
        )


def _signature(model: keras.Model) -> list[keras.InputSpec]:
    return [keras.InputSpec(shape=model.input.shape, dtype="uint8", name="pixels")]


def _write_onnx(model: keras.Model, quantize: str | None, images: np.ndarray, folder: Path) -> None:
    path = folder / FILES["onnx"]
    model = _with_operations_of_onnx(model)
    model.export(str(path), format="onnx", verbose=False, input_signature=_signature(model))
    if quantize:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        batches = iter([{"pixels": images[i : i + 32]} for i in range(0, len(images), 32)])

        class Batches(quantization.CalibrationDataReader):
            def get_next(self) -> dict[str, np.ndarray] | None:
                """Return the next batch."""
                return next(batches, None)

        prepared = folder / "prepared.onnx"
        quant_pre_process(str(path), str(prepared))
        quantization.quantize_static(
            str(prepared),
            str(path),
            Batches(),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        prepared.unlink()


def _with_operations_of_onnx(model: keras.Model) -> keras.Model:
    """Return an equal network without what tf2onnx can't convert.

    That is the `Erfc` of TensorFlow's exact GELU, the constants of `Normalization`, which it
    makes inputs, and grouped convolutions, for which Keras calls XLA.
    """

    def replace(layer: keras.Layer) -> keras.Layer:
        """Return a layer's copy, or another in its place."""
        if isinstance(layer, keras.layers.Normalization):
            mean, deviation = np.array(layer.mean).ravel(), np.sqrt(layer.variance).ravel()
            return keras.layers.Rescaling(
                (1 / deviation).tolist(), (-mean / deviation).tolist(), name=layer.name
            )
        if isinstance(layer, keras.layers.Conv2D) and layer.groups > 1:
            return _GroupedConv2D.from_config(layer.get_config())
        is_activation = isinstance(layer, keras.layers.Activation)
        if is_activation and layer.activation is keras.activations.gelu:
            return keras.layers.Activation(_gelu, dtype=layer.dtype_policy, name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    plain = keras.models.clone_model(model, clone_function=replace, recursive=True)
    plain.set_weights(model.get_weights())
    return plain


class _GroupedConv2D(keras.layers.Conv2D):
    """A grouped convolution as a depthwise one, or as one for each group."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return the feature maps."""
        how = {"strides": self.strides, "padding": self.padding}
        how["dilation_rate"] = self.dilation_rate
        if self.groups == inputs.shape[-1] == self.filters:
            of_channels = ops.transpose(self.kernel, (0, 1, 3, 2))
            x = ops.depthwise_conv(inputs, of_channels, **how)
        else:
            maps, kernels = (ops.split(part, self.groups, -1) for part in (inputs, self.kernel))
            groups = zip(maps, kernels, strict=True)
            x = ops.concatenate([ops.conv(part, kernel, **how) for part, kernel in groups], -1)
        return self.activation(x if self.bias is None else x + self.bias)


def _gelu(x: keras.KerasTensor) -> keras.KerasTensor:
    return 0.5 * x * (1 + ops.erf(x / math.sqrt(2)))


def _write_litert(
    model: keras.Model, quantize: str | None, images: np.ndarray, folder: Path
) -> None:
    import tensorflow as tf

    options: dict[str, Any] = {}
    if quantize:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        options["target_spec"] = {"supported_types": [tf.float16]}
    if quantize == "int8":
        options["representative_dataset"] = lambda: ([image[None]] for image in images)
    path = str(folder / FILES["litert"])
    model.export(path, format="litert", verbose=False, input_signature=_signature(model), **options)


def _write_openvino(
    model: keras.Model, quantize: str | None, images: np.ndarray, folder: Path
) -> None:
    import openvino

    path = folder / FILES["openvino"]
    model.export(str(path), format="openvino", verbose=False, input_signature=_signature(model))
    found = openvino.Core().read_model(path)
    openvino.save_model(found, path.with_name("new.xml"), compress_to_fp16=bool(quantize))
    del found  # which maps the file of weights
    for ending in (".xml", ".bin"):
        path.with_name(f"new{ending}").replace(path.with_suffix(ending))


def _write_saved_model(
    model: keras.Model, quantize: str | None, images: np.ndarray, folder: Path
) -> None:
    model.export(str(folder / "saved_model"), verbose=False, input_signature=_signature(model))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what converters print; errors say what is wrong."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
