"""Looking at folders every now and then, beside what else goes on: what runs elsewhere can be seen there alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watching(look: Callable[[], object], seconds: float) -> Iterator[None]:
    """Calls `look` in a thread, first after so many seconds, until the block ends."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(seconds):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
