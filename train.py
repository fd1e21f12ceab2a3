"""The command, in a checkout: `python train.py [group=choice ...] [key=value ...]`."""

from fulmen.cli.main import console

if __name__ == "__main__":
    console()
