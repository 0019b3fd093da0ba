"""Feature extractor and classifier head of a network."""

import hashlib
import re

import keras
import numpy as np

BOUNDARY = "features"  # the layer of every network at which its feature extractor ends


def feature_extractor(model: keras.Model) -> keras.Model:
    """Return the part of a network from pixels to features; it shares the network's weights."""
    return keras.Model(model.input, model.get_layer(BOUNDARY).output)


def classifier_head(model: keras.Model) -> keras.Model:
    """Return the part from features to probabilities; it shares the network's weights."""
    return keras.Model(model.get_layer(BOUNDARY).output, model.output)


def without_optimizer(model: keras.Model) -> keras.Model:
    """Return the model as one that isn't compiled; it shares the model's layers.

    Keras would save and load the state of the optimizer, too.
    """
    return keras.Model(model.inputs, model.outputs, name=model.name)


def structure_checksum(model: keras.Model) -> str:
    """Return the SHA-256 of what a model is made of, in hexadecimal.

    Without the numbers in names, by which Keras tells layers from all that it has made before.
    """
    return hashlib.sha256(re.sub(r'_\d+"', '"', model.to_json()).encode()).hexdigest()


def weights_checksum(model: keras.Model) -> str:
    """Return the SHA-256 of a model's weights, in hexadecimal."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()
