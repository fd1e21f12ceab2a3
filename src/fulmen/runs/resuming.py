"""Where a run that was stopped resumes: at its newest whole checkpoint, if it has one and steps are left."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fulmen.errors import Finished, warn
from fulmen.runs import checkpoints
from fulmen.runs import folder as folders


def start(
    folder: Path, total_steps: int, rows: str, trust: bool, check: Callable[[Mapping[str, Any]], None]
) -> tuple[int | None, dict[str, Any] | None]:
    """Returns the step from which the run in `folder` resumes, and the best checkpoint so far; None without one.

    Args:
        folder: the run's.
        total_steps: how long it is to be.
        rows: the fingerprint of its training rows as they are now.
        trust: as for `checkpoints.load`.
        check: raises ValueError if the checkpoint's tensors do not fit the network.

    Raises:
        ValueError: the run is completed, and its last checkpoint is gone, or one of its files is damaged.
        Finished: the run has taken all its steps.
    """
    if (folder / "status.json").exists():
        folders.read_status(folder)
    folders.read_metrics(folder)
    folders.read_history(folder)
    newest = checkpoints.newest(folder / "checkpoints", warn, trust=trust)
    if newest is None and folders.load_status(folder).get("state") == "completed":
        raise ValueError(f"{folder} is completed and has no last.ckpt to resume from; use rerun={folder}")
    if newest is None:
        warn(f"no checkpoint in {folder}; restarting from step 0 (the result will be the same)")
        return None, None
    steps = newest["global_step"]
    if steps > total_steps or (steps == total_steps and folders.load_status(folder).get("state") == "completed"):
        raise Finished(
            f"{folder} has taken its {steps} steps, and the limits given end at {total_steps}: nothing more to do"
        )
    check(newest["state_dict"])
    if newest["metadata"]["fingerprint"] != rows:
        warn(f"the training data has changed since {folder} started; resuming with the new data")
    return steps, checkpoints.whole(folder / "checkpoints" / folders.BEST, warn, trust)
