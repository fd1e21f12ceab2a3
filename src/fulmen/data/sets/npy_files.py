"""A folder of `.npy` files, memory-mapped, with a clear error for each way they can be wrong.

Shapes: N rows.
"""

import os
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.chunks import parts
from fulmen.data.source import SPLITS, Split
from fulmen.rules import did_you_mean, listed

UNKNOWN = 8 * 2**30
"""Bytes of memory assumed if the system does not report them."""
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Memory limit of a container on Linux."""


def opened(path: str, needed: Sequence[str]) -> dict[str, Split]:
    """Memory-maps x [N, ...] and y [N, ...] of each split in a folder, without reading the values.

    Raises:
        ValueError: the folder or a `needed` split is missing, a file is no numeric array, or x and y differ in length.
    """
    folder = Path(path).expanduser()
    if folder.is_file():
        raise ValueError(f"{folder} is a file: give data.path=<the folder with train_x.npy and train_y.npy>.")
    if not folder.is_dir():
        near = did_you_mean(folder.name, _names(folder.parent)) if folder.parent.is_dir() else ""
        raise ValueError(f"There is no folder {folder}{near or f'; paths start from {Path.cwd()}.'}")
    there = _names(folder)
    names = [name for name in SPLITS if name in needed or {f"{name}_x.npy", f"{name}_y.npy"} & set(there)]
    if not names:
        raise ValueError(f"{folder} has none of train_x.npy, val_x.npy, test_x.npy.{_holds(there)}")
    splits = {name: Split(*(_mapped(folder, f"{name}_{part}.npy", there) for part in "xy")) for name in names}
    for name, (x, y) in splits.items():
        if x.ndim < 2:
            raise ValueError(f"{name}_x.npy has shape {x.shape}: it must be [rows, features] or [rows, ...].")
        if len(x) != len(y):
            raise ValueError(
                f"{name}_x.npy has {len(x)} rows, but {name}_y.npy has {len(y)}: both must have the same number."
            )
    return splits


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _holds(there: Sequence[str]) -> str:
    return f" It holds {listed(there)}." if there else " It is empty."


def _mapped(folder: Path, name: str, there: Sequence[str]) -> NDArray[Any]:
    if name not in there:
        raise ValueError(f"There is no {name} in {folder}{did_you_mean(name, there) or '.'}{_holds(there)}")
    found = mapped(folder / name)
    if found.dtype.kind not in "fiub" or found.dtype.itemsize > 8:
        raise ValueError(f"{folder / name} has dtype {found.dtype}: use real numbers of at most 8 bytes.")
    if not found.size or not found.ndim:
        raise ValueError(f"{folder / name} has shape {found.shape}: it must have rows.")
    return found


def mapped(path: Path) -> NDArray[Any]:
    """Memory-maps the array in a `.npy` file; a header that promises more than the file holds takes no memory.

    Raises:
        ValueError: there is no such file, or it does not hold one array.
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    if zipfile.is_zipfile(path):
        raise ValueError(f"{path} contains several arrays: save each in its own file with numpy.save.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that only a very old NumPy, or damage, has written
            found = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy parses the header as Python, and damage leads it anywhere
        cause = "its header cannot be read"
        if isinstance(error, OSError | ValueError):
            cause = " ".join(str(error).split())
        objects = " Arrays of Python objects cannot be memory-mapped: save numbers." if "Python object" in cause else ""
        raise ValueError(
            f"{path} is damaged, empty or not written by numpy.save: {cause}.{objects}".replace("..", ".")
        ) from error
    return found


def check_finite(values: NDArray[Any], name: str) -> None:
    """Raises ValueError if a value of [N, ...] is not finite."""
    if values.dtype.kind != "f":
        return
    row = 0
    for part in parts(values):
        if not np.isfinite(part).all():
            wrong = np.argwhere(~np.isfinite(part))[0]
            raise ValueError(
                f"{name} has {part[tuple(wrong)]} in row {row + wrong[0]}: every value must be a finite number."
            )
        row += len(part)


def memory() -> int:
    """Returns the memory of this machine or container in bytes."""
    found = UNKNOWN
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(ValueError, OSError):  # no container, or its limit is "max"
        found = min(found, int(LIMIT.read_text()))
    return found
