"""CNNs between the tutorial network that the study began with and its VGG-style one.

Their names say what they are: `cnn-4conv-2pool-leaky-drop0.1-bn` has four convolutions and two
pooling layers, leaky ReLU, dropout 0.1 and batch norms. `tfmodels search --study
cifar-architecture` chooses among them.
"""

import keras
from keras import layers

from tfmodels.models.catalog import CNN_IMAGE_SIZE, Architecture
from tfmodels.models.layers import image_input, torch_init

FIRST_FILTERS = 32  # of the first block; each further block has twice as many
DENSE_UNITS = 256


def cnn(
    name: str,
    architecture: Architecture,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    image_size: int = CNN_IMAGE_SIZE,
) -> keras.Model:
    """Build the CNN of an architecture.

    Args:
        name: of the network.
        architecture: its layers.
        input_shape: height, width and channels of the raw images, values 0 to 255.
        classes: number of classes.
        image_size: side in pixels that images are scaled to, from 8 up.

    Returns:
        A functional model from (n, *input_shape) pixels to (n, classes) probabilities.

    Raises:
        UsageError: the image size is too small.
    """
    inputs, x = image_input(name, input_shape, image_size)
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(x)
    blocks = architecture.pooling
    for block in range(blocks):
        # As even as can be, the later blocks with one more.
        convolutions = architecture.convolutions * (block + 1) // blocks
        convolutions -= architecture.convolutions * block // blocks
        for i in range(convolutions):
            convolution = layers.Conv2D(
                FIRST_FILTERS * 2**block,
                3,
                padding="same",
                use_bias=not architecture.batch_norm,
                kernel_initializer=torch_init(),
                name=f"block{block + 1}_conv{i + 1}",
            )
            x = _activated(convolution(x), architecture, f"block{block + 1}", str(i + 1))
        x = layers.MaxPooling2D(2, name=f"block{block + 1}_pool")(x)
        if architecture.dropout:
            x = layers.Dropout(architecture.dropout, name=f"block{block + 1}_dropout")(x)
    x = layers.Flatten(name="features")(x)
    dense = layers.Dense(
        DENSE_UNITS,
        use_bias=not architecture.batch_norm,
        kernel_initializer=torch_init(),
        name="dense1",
    )
    x = _activated(dense(x), architecture, "dense1", "")
    if architecture.dropout:
        x = layers.Dropout(architecture.dropout, name="dense1_dropout")(x)
    x = layers.Dense(classes, kernel_initializer=torch_init(), name="logits")(x)
    # float32 also under mixed precision: half-precision probabilities don't sum to 1.
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=name)


def _activated(
    x: keras.KerasTensor, architecture: Architecture, name: str, number: str
) -> keras.KerasTensor:
    """Apply batch norm, if there is one, and the activation."""
    if architecture.batch_norm:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn{number}")(x)
    if architecture.activation == "leaky":
        return layers.LeakyReLU(negative_slope=0.01, name=f"{name}_leaky{number}")(x)
    kind = architecture.activation
    return layers.Activation(kind, name=f"{name}_{kind}{number}")(x)
