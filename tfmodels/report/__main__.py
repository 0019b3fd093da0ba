"""Write the HTML page of one run, or of several beside each other."""

import sys

from tfmodels import cli

if __name__ == "__main__":
    sys.exit(cli.report())
