"""Ctrl-C while Python imports or exits: 130, and no word of Python's."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = Path(__file__).parents[2] / "train.py"
STRIKE = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
FIRST = f"""\
import runpy, sys
class Striking:
    def find_spec(self, name, *_):
        if name == "fulmen":
            {STRIKE}
sys.meta_path.insert(0, Striking())
runpy.run_path({str(TRAIN)!r}, run_name="__main__")
"""
LAST = f"""\
import sys
class Late:
    def __del__(self):
        {STRIKE}
sys.late = Late()
sys.argv = ["fulmen", "--version"]
from fulmen.cli.main import console
console()
"""
EXITING = f"""\
import atexit, sys
sys.argv = ["fulmen", "--version"]
from fulmen.cli import main
version = main.version
def late(name):
    def strike():
        {STRIKE}
    atexit.register(strike)
    return version(name)
main.version = late
main.console()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize(("code", "ends"), [(FIRST, 130), (EXITING, 130), (LAST, 0)], ids=["first", "exiting", "last"])
def test_ctrl_c_is_quiet_from_first_to_last(code: str, ends: int) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (ends, ""), signal.SIGINT
