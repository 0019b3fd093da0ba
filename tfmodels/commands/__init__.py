"""The verbs of the command line: which flags each has, and what it does with them."""
