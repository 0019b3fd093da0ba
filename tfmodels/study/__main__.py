"""`python -m tfmodels.study results PATH ...`, as `tfmodels results`."""

import sys

from tfmodels import cli

if __name__ == "__main__":
    sys.exit(cli.main())
