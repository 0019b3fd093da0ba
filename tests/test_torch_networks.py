import keras
import numpy as np
import pytest

from tfmodels.models.airbench import prepare
from tfmodels.models.catalog import NETWORKS, build

torch = pytest.importorskip("torch")  # the benchmarks' comparison, no requirement of the project


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("airbench")])
def test_networks_in_pytorch_are_ours(name: str) -> None:
    from benchmarks.torch_networks import NETWORKS as THEIRS
    from benchmarks.torch_networks import scaled

    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    ours, theirs = build(name, (32, 32, 3), 10, 32), THEIRS[name]()
    prepare(ours, images)
    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear)
    modules = [module for module in theirs.modules() if isinstance(module, kinds)]
    layers = [layer for layer in ours.layers if layer.weights]
    for layer, module in zip(layers, modules, strict=True):
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            tensors = [module.bias, module.running_mean, module.running_var]
        else:
            tensors, weights = [module.weight], [_as_torch(layer, *weights)]
        for tensor, weight in zip(tensors, weights, strict=True):
            tensor.data.copy_(torch.from_numpy(weight))
    theirs.eval()
    with torch.no_grad():
        probabilities = theirs(scaled(torch.from_numpy(images))).softmax(1)
    np.testing.assert_allclose(ours.predict(images, verbose=0), probabilities, atol=1e-5)


def _as_torch(layer: keras.layers.Layer, kernel: np.ndarray) -> np.ndarray:
    """Return a kernel as PyTorch has it: outputs first, then inputs."""
    if isinstance(layer, keras.layers.Dense):
        return kernel.T
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
