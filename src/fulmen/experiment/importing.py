"""Imports of large libraries without a search for garbage meanwhile: it finds none, and takes a fifth of their time."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_once() -> Iterator[None]:
    """Python's collector rests; what has been imported it then takes for old, which it seldom searches.

    What a host program has frozen stays so: thawing is for all that is frozen, so then nothing is made old here.
    """
    collects, modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules and gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()  # to where what is old is
        if collects:
            gc.enable()
