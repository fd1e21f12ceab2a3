"""Results of a sweep's jobs, read from their folders.

Nothing here imports torch, and only files in JSON are read: it is done again and again while a sweep runs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fulmen.errors import ConfigurationError
from fulmen.runs import folder as folders
from fulmen.tasks.names import mode

DONE: Final = ("completed", "pruned")
PLANNED: Final = "planned"
"""The state of a job that has not begun."""
DAMAGED: Final = "damaged"
"""The state of a run whose files cannot be read."""


@dataclass(frozen=True)
class Result:
    """A job, as its folder has it now."""

    number: int
    """-1 of a single run."""
    folder: Path
    state: str
    """That of its status; `planned` before it begins, `interrupted` where it was killed."""
    error: str
    metrics: dict[str, Any]

    @property
    def done(self) -> bool:
        return self.state in DONE

    @property
    def ended(self) -> bool:
        """Returns whether the job has stopped, for good or not."""
        return self.state not in (PLANNED, folders.WORKED_IN)

    @property
    def over(self) -> bool:
        """Returns whether the job has ended for good, unless it is retried."""
        return self.ended and self.state != "interrupted"


def read(folder: Path) -> Result:
    """Reads what became of the job in a folder; one whose files cannot be read is `damaged`."""
    number = int(folder.name) if folder.name.isdecimal() else -1
    try:
        status = read_state(folder)
        metrics = folders.read_metrics(folder) if status["state"] in DONE else {}
    except ConfigurationError as error:
        return Result(number, folder, DAMAGED, str(error), {})
    return Result(number, folder, status["state"], str(status.get("error") or ""), metrics)


def read_state(folder: Path) -> dict[str, Any]:
    """Reads a job's status; where none was written, a lock tells a job that has begun from one that has not.

    Raises:
        ConfigurationError: the status is damaged, or is gone although the job has left files.
    """
    if (folder / "status.json").exists():
        return folders.read_status(folder)
    if folders.is_untouched(folder):
        if not (folder / folders.LOCK).exists():
            return {"state": PLANNED}
        if not folders.is_locked(folder):
            return {"state": "interrupted", "error": folders.KILLED}
        return {"state": folders.WORKED_IN}
    if (folder / "status.json").exists():  # written since
        return folders.read_status(folder)
    raise ConfigurationError(
        f"{folder} has no status.json, but holds a run's files; restore status.json, or move all but config.yaml away "
        "to train it again"
    )


def read_all(sweep: Path, jobs: int) -> list[Result]:
    """Returns the result of every job of a sweep, in the order of their numbers."""
    return [read(sweep / str(number)) for number in range(jobs)]


def best(results: Iterable[Result], score: str) -> Result | None:
    """Returns the best of those that have the score."""
    there = [result for result in results if score in result.metrics]
    sign = 1 if mode(score) == "min" else -1
    return min(there, key=lambda result: sign * result.metrics[score], default=None)


def runs(count: int) -> str:
    """Returns a number of runs in words."""
    return "1 run" if count == 1 else f"{count} runs"


def jobs(places: Sequence[Path]) -> str:
    """Returns jobs by their numbers, of which many are in a row: `jobs 0 to 63, 70`."""
    numbers = {int(place.name) for place in places}
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    spans = [f"{start}" if start == end else f"{start} to {end}" for start, end in zip(starts, ends, strict=True)]
    return f"job{'' if len(numbers) == 1 else 's'} {', '.join(spans[:5])}" + (", ..." if len(spans) > 5 else "")


def failures(results: Sequence[Result]) -> list[Result]:
    """Jobs that came to no good end."""
    return [result for result in results if result.ended and not result.done]
