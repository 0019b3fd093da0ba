"""The networks, one module each, as Keras functional models."""
