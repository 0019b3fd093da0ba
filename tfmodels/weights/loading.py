def load_weights(model, source):
    pass
