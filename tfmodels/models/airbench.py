"""Networks that learn small images fast: a frozen whitening stem and three groups.

After airbench94 (Jordan 2024, arXiv:2404.00498; github.com/KellerJordan/cifar10-airbench), made
cheaper. All have no biases in the stem, and another classifier. `dense` has its widths, but two of
its three groups begin with 1x1 convolutions. In the others the stem has 4x4 kernels at stride 2,
groups pool before they convolve, and convolutions over neighbours are depthwise (Howard et al.
2017, arXiv:1704.04861).
"""

from functools import partial

import keras
import numpy as np
from keras import layers

from tfmodels.models.layers import image_input, torch_init

# Of depthwise convolutions and activations also under mixed precision: on a CPU, half precision
# makes 1x1 convolutions faster, but these slower.
SINGLE = "float32"
REGULARISATION = 5e-4  # added to variances, so that noise isn't blown up


def dense(input_shape: tuple[int, int, int], classes: int, image_size: int) -> keras.Model:
    """Build a network of dense convolutions: see `separable` for what goes in and comes out."""
    inputs, x = image_input("airbench-dense", input_shape, image_size)
    x = stem(x, 24, 2, stride=1, padding="valid")
    x = layers.Activation("gelu", dtype=SINGLE, name="stem_gelu")(x)
    for number, (width, side) in enumerate(((64, 3), (256, 1), (256, 1)), start=1):
        x = convolution(x, width, side, f"group{number}_conv1", "silu", pool=True)
        x = convolution(x, width, 3, f"group{number}_conv2", "silu")
    return keras.Model(inputs, probabilities(x, classes), name="airbench_dense")


def separable(
    name: str,
    filters: tuple[int, int, int, int],
    pool_stem: bool,
    input_shape: tuple[int, int, int],
    classes: int,
    image_size: int,
) -> keras.Model:
    """Build a network of separable convolutions. It is ready to learn after `prepare`.

    Args:
        name: in the catalogue.
        filters: of the stem, and of both 1x1 convolutions of each of the three groups.
        pool_stem: whether the stem's maps are pooled, to a quarter of the image's side.
        input_shape: height, width and channels of the raw images, values 0 to 255.
        classes: number of classes.
        image_size: side in pixels that images are scaled to, from 16 up.

    Returns:
        A functional model from (n, *input_shape) pixels to (n, classes) probabilities.

    Raises:
        UsageError: the image size is too small.
    """
    inputs, x = image_input(name, input_shape, image_size)
    x = stem(x, filters[0], 4, stride=2, padding="same")
    if pool_stem:
        x = layers.MaxPooling2D(2, name="stem_pool")(x)
    x = layers.Activation("elu", dtype=SINGLE, name="stem_elu")(x)
    for number, width in enumerate(filters[1:], start=1):
        if number > 1:
            x = layers.MaxPooling2D(2, name=f"group{number}_pool")(x)
        x = convolution(x, width, 1, f"group{number}_conv1", "elu")
        x = layers.DepthwiseConv2D(
            3,
            padding="same",
            use_bias=False,
            depthwise_initializer=keras.initializers.RandomUniform(-0.1, 0.1),
            dtype=SINGLE,
            name=f"group{number}_depthwise",
        )(x)
        x = convolution(x, width, 1, f"group{number}_conv2", "elu")
    return keras.Model(inputs, probabilities(x, classes), name=name.replace("-", "_"))


def stem(
    x: keras.KerasTensor, filters: int, side: int, stride: int, padding: str
) -> keras.KerasTensor:
    """Scale pixels, and apply the convolution that `prepare` makes whiten them."""
    x = layers.Rescaling(1 / 64, offset=-2, name="rescale")(x)
    return layers.Conv2D(
        filters,
        side,
        strides=stride,
        padding=padding,
        use_bias=False,
        trainable=False,
        name="stem",
    )(x)


def convolution(
    x: keras.KerasTensor, filters: int, side: int, name: str, activation: str, pool: bool = False
) -> keras.KerasTensor:
    """Apply a convolution, halve the maps if asked, and apply batch norm and the activation."""
    x = layers.Conv2D(
        filters, side, padding="same", use_bias=False, kernel_initializer=torch_init(), name=name
    )(x)
    if pool:
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    x = layers.BatchNormalization(scale=False, momentum=0.6, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.Activation(activation, dtype=SINGLE, name=f"{name}_{activation}")(x)


def probabilities(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Classify by the maximum and the mean of each of the last maps."""
    pooled = [
        layers.GlobalMaxPooling2D(name="max")(x),
        layers.GlobalAveragePooling2D(name="mean")(x),
    ]
    x = layers.Concatenate(name="features")(pooled)
    x = layers.Dense(
        classes,
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1.0),
        name="logits",
    )(x)
    x = layers.Rescaling(1 / 32, name="scale")(x)
    # float32 also under mixed precision: half-precision probabilities don't sum to 1.
    return layers.Softmax(dtype="float32", name="probabilities")(x)


small = partial(separable, "airbench-small", (48, 64, 128, 256), True)
medium = partial(separable, "airbench-medium", (48, 48, 96, 224), False)
large = partial(separable, "airbench-large", (60, 128, 256, 512), False)


def prepare(model: keras.Model, images: np.ndarray) -> None:
    """Set the weights that don't start at random: whitening stem and identities.

    Args:
        model: one of these networks.
        images: of the training split (n, height, width, 3) uint8; 1,000 suffice.
    """
    whitening = model.get_layer("stem")
    scaled = keras.Model(model.input, whitening.input).predict(images, verbose=0)
    side, stride = whitening.kernel_size[0], whitening.strides[0]
    whitening.kernel.assign(whitening_kernel(scaled, side, stride, whitening.filters))
    for layer in model.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            kernel = np.array(layer.kernel)
            kernel[1, 1] += 1
            layer.kernel.assign(kernel)
        elif isinstance(layer, layers.Conv2D) and layer is not whitening:
            layer.kernel.assign(with_identity(np.array(layer.kernel)))


def whitening_kernel(images: np.ndarray, size: int, stride: int, filters: int) -> np.ndarray:
    """Return the kernel (size, size, channels, filters) that whitens the patches of images.

    Its filters are the first eigenvectors of the patches' uncentred covariance, each divided by
    the root of its eigenvalue, and their negatives.
    """
    patches = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    patches = patches[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    rows = patches.reshape(-1, size * size * images.shape[-1])
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    half = -(-filters // 2)
    first = vectors[:, ::-1][:, :half] / np.sqrt(values[::-1][:half] + REGULARISATION)
    kernel = np.concatenate([first, -first], axis=1)[:, :filters]
    return kernel.reshape(size, size, images.shape[-1], filters)


def with_identity(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel (height, width, inputs, outputs) whose first filters pass the inputs on."""
    kernel = kernel.copy()
    height, width, inputs, outputs = kernel.shape
    passed = min(inputs, outputs)
    kernel[..., :passed] = 0
    kernel[height // 2, width // 2, range(passed), range(passed)] = 1
    return kernel
