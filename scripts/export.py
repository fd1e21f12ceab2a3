"""Writes a trained network for other programs: the same as `fulmen export`."""

import sys

from fulmen.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
