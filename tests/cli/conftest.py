"""What tests of commands on runs share."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HOLD = """\
import sys
from filelock import FileLock

with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold() -> Iterator[Callable[[Path], None]]:
    """Holds the lock of a run, as its process does."""
    holders: list[subprocess.Popen[str]] = []

    def lock(run: Path) -> None:
        command = [sys.executable, "-c", HOLD, str(run / ".lock")]
        holders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert holders[-1].stdout is not None and holders[-1].stdout.readline() == "held\n"

    yield lock
    for holder in holders:
        holder.communicate("")
