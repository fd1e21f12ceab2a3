"""A whole default run, as its user waits for it, and where the seconds go."""

import json
import os
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

CODE = """
import json, sys, time
began = time.time()
from fulmen.cli import main
from fulmen.experiment import importing
with importing.at_once():
    from lightning.pytorch import Trainer
    from fulmen.config import compose
    from fulmen.experiment import run
    from fulmen.figures import draw
    from fulmen.training import loggers
parts = {"Python starts": began - float(sys.argv[1]), "imports": time.time() - began}
for name, owner, call in (
    ("configuration", compose, "compose"),
    ("data, network and checks", run, "prepare"),
    ("TensorBoard's graph", loggers, "show_graph"),
    ("training", Trainer, "fit"),
    ("metrics of all splits", run, "_evaluate"),
    ("figures", draw, "draw"),
):
    def timed(*args, _name=name, _call=getattr(owner, call), **kwargs):
        before = time.time()
        try:
            return _call(*args, **kwargs)
        finally:
            parts[_name] = time.time() - before
    setattr(owner, call, timed)
sys.argv[1:2] = []
try:
    main.console()
finally:
    print(json.dumps(parts), file=sys.stderr)
"""


def seconds(quick: bool) -> dict[str, float]:
    """Those of each part of `python train.py`, 100 passes, and of all else together; the run of median length."""
    runs = sorted((_once(quick) for _ in range(1 if quick else 3)), key=lambda parts: sum(parts.values()))
    return runs[len(runs) // 2]


def _once(quick: bool) -> dict[str, float]:
    words = (f"trainer.max_epochs={1 if quick else 100}",)
    with TemporaryDirectory() as folder:
        start = time.time()
        command = (sys.executable, "-c", CODE, str(start), *words)
        found = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, check=True, text=True)
        whole = time.time() - start
    parts: dict[str, float] = json.loads(found.stderr.splitlines()[-1])
    return {**parts, "all else": whole - sum(parts.values())}
