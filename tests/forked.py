"""Runs a program in a process that was forked; started by `forked` in conftest.py, which sets names.

FOLDER, ENVIRONMENT, PROGRAM (a file), WORDS, OUTPUTS (files for what it prints and for errors).
"""

import atexit
import gc
import os
import runpy
import sys
import threading
from typing import Any

names: dict[str, Any] = globals()
os.setsid()  # as in a terminal of its own: a signal to the whole group reaches nobody else
os.chdir(names["FOLDER"])
os.environ.clear()
os.environ.update(names["ENVIRONMENT"])
os.fsync = os.fstat  # type: ignore[assignment]  # as in conftest.py
for number, path in enumerate(names["OUTPUTS"], start=1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", buffering=1, encoding="utf-8")
sys.argv = [names["PROGRAM"], *names["WORDS"]]
sys.path.insert(0, os.path.dirname(names["PROGRAM"]))
gc.freeze()
code: Any = 0
try:
    runpy.run_path(names["PROGRAM"], run_name="__main__")
except SystemExit as end:
    code = end.code
threading._shutdown()  # type: ignore[attr-defined]
atexit._run_exitfuncs()
sys.stdout.flush()
sys.exit(code)
