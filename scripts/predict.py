"""Predicts new rows: the same as `fulmen predict`."""

import sys

from fulmen.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
