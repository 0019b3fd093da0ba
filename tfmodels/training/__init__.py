"""How networks are trained: stages, optimizers, callbacks, and features for classifier heads."""
