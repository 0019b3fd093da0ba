"""The runtimes that exported networks are loaded in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels.errors import RunError, UsageError
from tfmodels.export.formats import FILES
from tfmodels.safe_files import printable

Classify = Callable[[np.ndarray], np.ndarray]  # (n, height, width, 3) uint8 to (n, classes)


def load_exported(form: str, folder: Path) -> Classify:
    """Load a network that `write_network` wrote.

    Raises:
        UsageError: it is a SavedModel, whose operations may be any of TensorFlow's.
        RunError: it is damaged.
        ModuleNotFoundError: its runtime isn't installed.
    """
    loaders = {"onnx": _load_onnx, "litert": _load_litert, "openvino": _load_openvino}
    if form not in loaders:
        raise UsageError(
            f"{folder} holds a {form}, whose operations may write files as well: use the run "
            f"itself, or export it as one of {', '.join(loaders)}"
        )
    try:
        return loaders[form](folder / FILES[form])
    except ImportError:
        raise
    except Exception as error:  # each runtime raises its own
        raise RunError(f"{folder / FILES[form]} can't be used ({printable(str(error))})") from error


def _load_onnx(path: Path) -> Classify:
    import onnxruntime

    # From bytes, a file can't name others that hold its weights.
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def classify(images: np.ndarray) -> np.ndarray:
        """Return the probabilities of images."""
        found: np.ndarray = session.run(None, {name: np.ascontiguousarray(images)})[0]
        return found

    return classify


def _load_litert(path: Path) -> Classify:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    pixels: dict[str, Any] = interpreter.get_input_details()[0]
    probabilities = interpreter.get_output_details()[0]["index"]
    shape: tuple[int, ...] = ()

    def classify(images: np.ndarray) -> np.ndarray:
        """Return the probabilities of images."""
        nonlocal shape
        if shape != images.shape:
            interpreter.resize_tensor_input(pixels["index"], images.shape)
            interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(pixels["index"], images.astype(pixels["dtype"]))
        interpreter.invoke()
        found: np.ndarray = interpreter.get_tensor(probabilities)
        return found

    return classify


def _load_openvino(path: Path) -> Classify:
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", hints)

    def classify(images: np.ndarray) -> np.ndarray:
        """Return the probabilities of images."""
        found: np.ndarray = compiled(np.ascontiguousarray(images))[0]
        return found

    return classify
