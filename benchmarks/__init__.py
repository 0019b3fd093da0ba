"""Measurements that docs/ shows; each file says how it is run."""
