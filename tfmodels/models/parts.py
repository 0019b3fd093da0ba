"""The two parts of a network of Part 2: a backbone that sees, and a head that names."""

import keras

BOUNDARY = "features"  # the layer of every network of Part 2 where its backbone ends


def backbone(model: keras.Model) -> keras.Model:
    """The part of a network from pixels to features; it shares the network's weights."""
    return keras.Model(model.input, model.get_layer(BOUNDARY).output)


def head(model: keras.Model) -> keras.Model:
    """The part of a network from features to probabilities; it shares the network's weights."""
    return keras.Model(model.get_layer(BOUNDARY).output, model.output)
