"""Train a network on EuroSAT. README.md says what it needs and what it leaves behind."""

import sys

from tfmodels import cli

if __name__ == "__main__":
    sys.exit(cli.train_eurosat())
