"""Measures a trained network: the same as `fulmen evaluate`."""

import sys

from fulmen.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
