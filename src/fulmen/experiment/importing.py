"""Imports of large libraries with garbage collection paused: it finds nothing then, and takes a fifth of the time."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_once() -> Iterator[None]:
    """Pauses the collector, then moves all that was imported to its oldest generation, which it rarely searches.

    If the host program has frozen objects, nothing is moved: `gc.unfreeze` would thaw those too.
    """
    collects, modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules and gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        if collects:
            gc.enable()
