"""Formats and folders of exported networks, for flags; `export.writers` writes them."""

import os
from pathlib import Path

from tfmodels.errors import UsageError

FORMATS = ("onnx", "litert", "openvino", "saved_model")
# What weights, and with int8 activations, can be rounded to after training.
QUANTIZED = {"onnx": ("int8",), "litert": ("float16", "int8"), "openvino": ("float16",)}
FILES = {"onnx": "model.onnx", "litert": "model.tflite", "openvino": "model.xml"}  # to load


def check_new(out: Path) -> None:
    """Check that nothing is where an export is to be written.

    Raises:
        UsageError: something is.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out} exists: choose another `out`, or remove it")
