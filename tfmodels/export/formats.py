"""Names of the formats of exported networks, for flags; `export.writers` writes them."""

FORMATS = ("onnx", "litert", "openvino", "saved_model")
# What weights, and with int8 activations, can be rounded to after training.
QUANTIZED = {"onnx": ("int8",), "litert": ("float16", "int8"), "openvino": ("float16",)}
FILES = {"onnx": "model.onnx", "litert": "model.tflite", "openvino": "model.xml"}  # to load
