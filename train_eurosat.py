"""Train AlexNet or MobileNetV2 on EuroSAT. README.md says what it needs and leaves behind."""

import sys

from tfmodels import cli

if __name__ == "__main__":
    sys.exit(cli.train(cli.EUROSAT))
