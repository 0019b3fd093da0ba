"""Weights made elsewhere: read (`torch_checkpoint`), converted and set (`alexnet`)."""
