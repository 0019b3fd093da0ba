"""Run directories: where the files of a run are, and what they hold."""
