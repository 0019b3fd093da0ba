"""Pretrained weights: download or read a file, convert it, check it and set the weights."""
