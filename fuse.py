"""Fuse trained networks by their predictions. README.md says how."""

import sys

from tfmodels import cli

if __name__ == "__main__":
    sys.exit(cli.fuse())
