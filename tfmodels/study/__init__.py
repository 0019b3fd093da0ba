"""The study's tables, filled."""
