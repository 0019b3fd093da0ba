"""Data sets (`loading`), the built-in sample (`sample`) and batches for training (`pipeline`)."""
