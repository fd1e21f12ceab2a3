"""Ctrl-C, SIGTERM, and what a cluster sends when time is up: a run ends where it can be resumed, with an exit code.

Before and after training a signal raises `Interrupted` at once. In training it is only noted; the saver, which knows
when weights, optimizer and counters belong together, saves and raises.
"""

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

TIME_IS_UP: Final = getattr(signal, "SIGUSR2", None)
"""Sent before a job's limit, or when it has to make room for another. Windows has none."""
STOPS: Final = (signal.SIGINT, signal.SIGTERM, *([TIME_IS_UP] if TIME_IS_UP else []))


class Interrupted(BaseException):
    """A signal ended the run. No `Exception`, so that nothing takes it for a failure of the job."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum, self.exit_code = signum, 128 + signum


class Stop:
    """A signal that waits for the right moment."""

    def __init__(self) -> None:
        self.noted: int | None = None

    def raise_if_noted(self) -> None:
        if self.noted is not None:
            raise Interrupted(self.noted)


@contextmanager
def raising(first: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Signals raise `Interrupted` wherever the program is.

    That may be inside a library that takes it for a failure of its own, and reports it or continues; then it is raised
    again here. Before that `first` is called; a second signal does not wait for it.
    """
    came: list[int] = []

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        came.append(signum)
        if len(came) == 1:
            first()
        raise Interrupted(signum)

    with _handling(interrupt):
        try:
            yield
        except Interrupted:
            raise
        except BaseException as error:
            if came:
                raise Interrupted(came[0]) from error
            raise
        if came:
            raise Interrupted(came[0])


@contextmanager
def deferred() -> Iterator[Stop]:
    """Signals are noted in the `Stop`; the same one once more raises, for whoever cannot wait.

    Not another one: Ctrl-C reaches all processes of a terminal, and the one that launched them may then say SIGTERM.
    """
    stop = Stop()
    came: set[int] = set()

    def note(signum: int, _frame: FrameType | None) -> None:
        if signum in came:
            raise Interrupted(signum)
        came.add(signum)
        stop.noted = stop.noted or signum

    with _handling(note):
        yield stop


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Keeps Ctrl-C from processes that are begun meanwhile, but not from this one.

    A terminal sends it to all, but they inherit what this thread blocks; here another thread takes it, of which there
    must be one. Not on Windows.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {signum: signal.signal(signum, handler) for signum in STOPS}
    show = sys.unraisablehook

    def raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
        # Python drops what is raised in `__del__` or in a weak reference's callback: the signal comes again, after it.
        if isinstance(unraisable.exc_value, Interrupted):
            threading.Timer(0.01, _thread.interrupt_main, [unraisable.exc_value.signum]).start()
        else:
            show(unraisable)

    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        sys.unraisablehook = show
        for signum, old in before.items():
            signal.signal(signum, old)
