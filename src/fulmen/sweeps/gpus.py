"""A GPU for each job, where this machine has several and the launcher does not share them out, as Ray and Slurm do.

A worker takes the first number that no other worker of the sweep holds, by a lock that ends with its process, and sees
only the GPU of that number. It has to be done before CUDA is first used, so before a job makes anything.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
SHARED_OUT_HERE: Final = ("joblib", "submitit_local")
_held: list[FileLock] = []
"""By this process, until it ends."""


def take_one(sweep: Path) -> None:
    """Leaves this process one of several GPUs to see."""
    gpus = visible()
    if len(gpus) > 1 and not _held:
        os.environ[VISIBLE] = gpus[_number(sweep) % len(gpus)]


def visible() -> list[str]:
    """The GPUs of this machine, as `CUDA_VISIBLE_DEVICES` names them."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(found.splitlines()) if line.startswith("GPU ")]


def _number(sweep: Path) -> int:
    """This worker's among those of the sweep: the first that is free."""
    number = 0
    while True:
        lock = FileLock(sweep / f".worker-{number}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            number += 1
        else:
            _held.append(lock)
            return number
