"""The progress of a sweep: a line for each job that ends, how many are done, how long the rest may take."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fulmen.sweeps import results
from fulmen.sweeps.record import Sweep
from fulmen.sweeps.results import Result, read


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


AT_ONCE: Final = 10
"""Jobs that end between two looks, of which each has a line; of more, those that fail and the last."""
SECONDS: Final = 0.5
"""Between two looks at the folders."""


class Progress:
    """Notices jobs that end.

    Args:
        sweep: what runs.
        folder: the sweep's.
        pending: the numbers of the jobs that are to run now.
        say: prints a line.
    """

    def __init__(self, sweep: Sweep, folder: Path, pending: Sequence[int], say: Callable[[str], None]) -> None:
        self.sweep, self.say, self.began = sweep, say, time.monotonic()
        self.waiting = [folder / str(number) for number in pending]
        self.before = {place: _changed(place) for place in self.waiting}
        before = (read(folder / str(number)) for number in range(sweep.jobs) if number not in set(pending))
        self.done = self.failed = self.new = 0
        self.best: Result | None = None
        self.interrupted: set[int] = set()
        """Jobs of which it has been said."""
        for result in before:
            if result.ended:
                self._count(result)

    def _count(self, result: Result) -> None:
        self.done += result.done
        self.failed += bool(results.failures([result]))
        there = [one for one in (self.best, result) if one is not None]
        self.best = results.best(there, self.sweep.score)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks at the folders every now and then, and once more at the end."""
        try:
            with watching(self.look, SECONDS):
                yield
        finally:
            self.look()

    def look(self) -> None:
        """Prints which jobs have ended since the last look."""
        waiting, ended = [], []
        for place in self.waiting:
            changed = _changed(place)
            result = read(place) if changed != self.before[place] else None
            self.before[place] = changed
            if result is not None and result.state == "interrupted":  # it may be resumed
                self.say(f"job {result.number}  {' '.join(self.sweep.own_overrides(result.number))}  {result.error}")
                self.interrupted.add(result.number)
            if result is None or result.state == "interrupted" or not result.ended:
                waiting.append(place)
            else:
                ended.append(result)
        self.waiting = waiting
        self.new += len(ended)
        for result in ended:
            self._count(result)
            if len(ended) <= AT_ONCE or result is ended[-1] or not result.done:  # of a stack all end at once
                self.say(self._line(result))

    def _line(self, result: Result) -> str:
        parts = [f"{self.done} of {self.sweep.jobs} done", f"{self.failed} failed"]
        if self.best is not None:
            parts.append(f"best {self.best.metrics[self.sweep.score]:.4g} (job {self.best.number})")
        if left := len(self.waiting):
            each = (time.monotonic() - self.began) / self.new
            parts.append(f"about {_duration(each * left)} left")
        end = f"{result.state}: {result.error}" if not result.done else self._score(result)
        overrides = " ".join(self.sweep.own_overrides(result.number))
        return f"job {result.number}  {overrides}  {end}  ({', '.join(parts)})"

    def _score(self, result: Result) -> str:
        score = self.sweep.score
        return f"{score} {result.metrics[score]:.4g}" if score in result.metrics else result.state


def _changed(folder: Path) -> int:
    """Returns when the status was last written; 0 where there is none."""
    try:
        return (folder / "status.json").stat().st_mtime_ns
    except OSError:
        return 0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
