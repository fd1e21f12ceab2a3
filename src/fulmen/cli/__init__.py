"""The command line: dispatch, help, Hydra's flags, and one file for each command."""

import os
import signal
import sys

if os.path.basename(sys.argv[0]) == "fulmen":  # this process is the command, which has yet to import the rest
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
