"""Late fusion: which runs can be fused, by which rules, and whether it helps."""
