"""The command, in a checkout: `python train.py [group=choice ...] [key=value ...]`."""

import os
import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # first: importing takes a while, and Ctrl-C comes quietly

    from fulmen.cli.main import console

    console()
