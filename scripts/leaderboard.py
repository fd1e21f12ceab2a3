"""Ranks runs by their score: the same as `fulmen leaderboard`."""

import sys

from fulmen.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["leaderboard", *sys.argv[1:]]))
