"""Imports of large libraries in less time.

Garbage collection pauses: it finds nothing then, and takes a fifth of the time. And torchmetrics, which Lightning
imports, imports `scipy.signal`, which takes a second, only to put back a function that scipy removed; no run needs it.
"""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def at_once() -> Iterator[None]:
    """Pauses the collector, then moves all that was imported to its oldest generation, which it rarely searches.

    If the host program has frozen objects, nothing is moved: `gc.unfreeze` would thaw those too.
    """
    collects, modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        with _without_signal():
            yield
    finally:
        if len(sys.modules) > modules and gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        if collects:
            gc.enable()


@contextmanager
def _without_signal() -> Iterator[None]:
    """Lets torchmetrics, unless it has been imported, find a stand-in for `scipy.signal`, which loads it when used."""
    if {"scipy.signal", "torchmetrics"} & sys.modules.keys():
        yield
        return

    def real(name: str) -> Any:
        if name.startswith("__"):  # asked of every module, as by `inspect`
            raise AttributeError(name)
        if sys.modules.get("scipy.signal") is stand_in:
            del sys.modules["scipy.signal"]
        return getattr(importlib.import_module("scipy.signal"), name)

    stand_in = ModuleType("scipy.signal")
    vars(stand_in).update(hamming=None, __getattr__=real)  # the first is what torchmetrics looks for
    sys.modules["scipy.signal"] = stand_in
    try:
        yield
    finally:
        if sys.modules.get("scipy.signal") is stand_in:
            del sys.modules["scipy.signal"]
