"""The networks as Keras functional models, one module each; `catalog` lists them."""
