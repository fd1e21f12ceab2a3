"""What each feature of a run costs: its calls, timed while the default run trains."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from lightning.pytorch import Trainer

from benchmarks import ours
from benchmarks.timing import Clock, Cost, Watch, watching
from fulmen.figures import draw
from fulmen.runs.history import History
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.metrics import StreamingMetrics
from fulmen.training import loggers
from fulmen.training.callbacks.checkpointing import Checkpointer
from fulmen.training.callbacks.progress import Progress

HOOKS = ("on_train_start", "on_train_batch_end", "on_train_epoch_end", "on_train_end")
PARTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "metrics": (StreamingMetrics, ("add", "results")),
    "validation": (Evaluation, ("metrics",)),
    "TensorBoard": (loggers, ("show_scalars",)),
    "history": (History, ("log_metrics",)),
    "checkpoints": (Checkpointer, HOOKS),
    "bar": (Progress, ("on_train_start", "on_train_batch_end", "on_train_epoch_start", "on_train_end")),
}


class Feature(NamedTuple):
    """What one costs in a run."""

    name: str
    seconds: float
    share: float
    """Of the time that the steps alone take."""


class Features(NamedTuple):
    """All of them."""

    steps: int
    each: list[Feature]
    figures: float
    """Seconds that the final figures take, once a run."""


def features(quick: bool) -> Features:
    """Those of the default run, the median of three."""
    runs = sorted(
        (_measured(quick) for _ in range(1 if quick else 3)), key=lambda found: sum(f.share for f in found.each)
    )
    return runs[len(runs) // 2]


def _measured(quick: bool) -> Features:
    watches, fit, count = dict[str, Watch](), Trainer.fit, list[int]()
    clock: list[Cost] = []

    def watched(trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """The metrics of the final figures are none of the training's: only calls inside the fit count."""
        with ExitStack() as stack:
            watches.update(
                {name: stack.enter_context(watching(owner, *calls)) for name, (owner, calls) in PARTS.items()}
            )
            began = Clock()
            fit(trainer, *args, **kwargs)
            clock.append(began.read())
        count.append(trainer.global_step)

    def measure(train: Callable[[], object], _folder: Path) -> Cost:
        with mock.patch.object(Trainer, "fit", watched), watching(draw, "draw") as figures:
            train()
        return figures.total

    passes = ("trainer.max_epochs=5",) if quick else ()
    figures = ours.run(("figures=default", *passes), measure)
    seconds = {name: watch.total.amount for name, watch in watches.items()}
    seconds["validation"] -= seconds["metrics"]
    alone = clock[0].amount - sum(seconds.values())
    return Features(count[0], [Feature(name, s, s / alone) for name, s in seconds.items()], figures.amount)
