"""`python -m tfmodels` is the command `tfmodels`."""

import sys

from tfmodels import cli

if __name__ == "__main__":
    sys.exit(cli.main())
