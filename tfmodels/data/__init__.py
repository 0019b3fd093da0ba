"""Data sets, their splits, and batches for training; `catalog` lists the data sets."""
