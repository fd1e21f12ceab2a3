"""The devices that this machine computes with."""

import os
from pathlib import Path

import torch

DEVICES = {"cpu": "cpu", "gpu": "cuda", "mps": "mps"}
"""torch's name for each."""


def find(wanted: str, dtype: torch.dtype, devices: int = 1) -> str:
    """Returns the accelerator to take, `cpu`, `gpu` or `mps`, with so many devices, or for `auto` the fastest one.

    Raises:
        ValueError: it is not in this machine, has too few devices, or cannot compute in the precision asked for.
    """
    counts = {
        "cpu": os.cpu_count() or 1,
        "gpu": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    there = [name for name, count in counts.items() if count > 0]
    found = wanted
    if found == "auto":
        usable = [name for name in there if name != "cpu" and not (name == "mps" and dtype == torch.float64)]
        found = (usable or ["cpu"])[0]
    if found not in there:
        raise ValueError(
            f"there is no {found} here; this machine has {' and '.join(there)}: take accelerator={there[-1]}"
        )
    if found == "mps" and dtype == torch.float64:
        raise ValueError("mps cannot compute in float64; take accelerator=cpu, or trainer.precision=32-true")
    if devices > counts[found]:
        raise ValueError(f"trainer.devices={devices}, but this machine has {counts[found]} {found} device(s)")
    return found


def device(accelerator: str) -> torch.device:
    """Returns the first device of an accelerator."""
    return torch.device({"gpu": "cuda:0"}.get(accelerator, accelerator))


def free_memory(device: torch.device) -> int:
    """Returns the bytes of memory that are free, of a GPU or of this machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # no Linux; a quarter of all is free nearly everywhere
        names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 if "SC_PHYS_PAGES" in names else 2**30
