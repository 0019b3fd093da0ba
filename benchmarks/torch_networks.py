"""The study's network and airbench in PyTorch, step for step, for comparisons of speed.

PyTorch is no requirement of the project: `pip install torch`.
"""

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

MOMENTUM, SMOOTHING, STEPS = 0.6, 0.2, 3  # of Muon, of labels, and of Newton-Schulz


def vgg() -> nn.Module:
    """Return the study's network."""
    layers: list[nn.Module] = []
    for inputs, filters in ((3, 32), (32, 64)):
        for channels in (inputs, filters):
            convolution = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(filters), nn.LeakyReLU(0.01)]
        layers += [nn.MaxPool2d(2), nn.Dropout(0.1)]
    dense = nn.Linear(4096, 256, bias=False)
    layers += [nn.Flatten(), dense, nn.BatchNorm1d(256), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(256, 10))


class Separable(nn.Module):
    """A separable network of `tfmodels.models.airbench`."""

    def __init__(self, filters: tuple[int, ...], pool_stem: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, filters[0], 4, stride=2, padding=1, bias=False)
        self.stem.requires_grad_(False)
        self.pool_stem = pool_stem
        self.groups = nn.ModuleList()
        for inputs, outputs in itertools.pairwise(filters):
            depthwise = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs, bias=False)
            pointwise = nn.Conv2d(outputs, outputs, 1, bias=False)
            first = nn.Conv2d(inputs, outputs, 1, bias=False)
            group = [first, batch_norm(outputs), depthwise, pointwise, batch_norm(outputs)]
            self.groups.append(nn.ModuleList(group))
        self.logits = nn.Linear(2 * filters[-1], 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 10)."""
        x = self.stem(x)
        x = functional.elu(functional.max_pool2d(x, 2) if self.pool_stem else x)
        for number, (first, norm1, depthwise, pointwise, norm2) in enumerate(self.groups):
            x = functional.max_pool2d(x, 2) if number else x
            x = functional.elu(norm1(first(x)))
            x = functional.elu(norm2(pointwise(depthwise(x))))
        return self.logits(torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)) / 32


class Dense(nn.Module):
    """`airbench-dense` of `tfmodels.models.airbench`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 2, bias=False).requires_grad_(False)
        self.groups = nn.ModuleList()
        for inputs, outputs, side in ((24, 64, 3), (64, 256, 1), (256, 256, 1)):
            first = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
            second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            group = [first, batch_norm(outputs), second, batch_norm(outputs)]
            self.groups.append(nn.ModuleList(group))
        self.logits = nn.Linear(2 * 256, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 10)."""
        x = functional.gelu(self.stem(x))
        for first, norm1, second, norm2 in self.groups:
            x = functional.silu(norm1(functional.max_pool2d(first(x), 2)))
            x = functional.silu(norm2(second(x)))
        return self.logits(torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)) / 32


def batch_norm(maps: int) -> nn.Module:
    """Return a batch norm without scale."""
    norm = nn.BatchNorm2d(maps, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg": vgg,
    "airbench-small": partial(Separable, (48, 64, 128, 256), pool_stem=True),
    "airbench-medium": partial(Separable, (48, 48, 96, 224), pool_stem=False),
    "airbench-large": partial(Separable, (60, 128, 256, 512), pool_stem=False),
    "airbench-dense": Dense,
}


def scaled(images: torch.Tensor) -> torch.Tensor:
    """Return images (n, height, width, 3) uint8 as a network takes them, channels last."""
    x = images.permute(0, 3, 1, 2).float() / 64 - 2
    return x.contiguous(memory_format=torch.channels_last)


def train_step(
    network: nn.Module, muon: bool, precision: str
) -> Callable[[torch.Tensor, torch.Tensor], float]:
    """Return a function that trains on images (n, 32, 32, 3) uint8 and labels."""
    network = network.to(memory_format=torch.channels_last).train()
    learned = [p for p in network.parameters() if p.requires_grad]
    kernels = [p for p in learned if p.ndim == 4 and p.shape[1] > 1] if muon else []
    averages = [torch.zeros_like(p) for p in kernels]
    rest = [p for p in learned if not any(p is kernel for kernel in kernels)]
    adam = torch.optim.Adam(rest, 0.04 if muon else 1e-3)

    def step(images: torch.Tensor, labels: torch.Tensor) -> float:
        """Train on a batch, and return its loss."""
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
            logits = network(scaled(images))
        smoothing = SMOOTHING if muon else 0
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        network.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            for kernel, average in zip(kernels, averages, strict=True):
                update_by_muon(kernel, average, 0.2)
        return float(loss.detach())

    return step


def update_by_muon(kernel: torch.Tensor, average: torch.Tensor, rate: float) -> None:
    """Update a kernel and its average gradient, as airbench94_muon does."""
    gradient = kernel.grad
    assert gradient is not None
    average.mul_(MOMENTUM).add_(gradient)
    matrix = (gradient + MOMENTUM * average).reshape(len(kernel), -1)
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(STEPS):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    kernel.mul_(len(kernel) ** 0.5 / kernel.norm())
    kernel.sub_((x.T if tall else x).reshape(kernel.shape), alpha=rate)
