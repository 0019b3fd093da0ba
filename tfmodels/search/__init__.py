"""Search for good settings on validation, by Optuna."""
