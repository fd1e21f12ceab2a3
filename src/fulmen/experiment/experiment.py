"""The parts of a run, passed whole: the `Experiment`, and the `Session` of the process that trains it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from fulmen.data.source import Source
from fulmen.experiment.baseline import MakeBaseline
from fulmen.experiment.start_from import ReadWeights
from fulmen.figures.options import FigureOptions
from fulmen.tasks.further_metrics import Metric
from fulmen.training.callbacks.pruning import Pruner
from fulmen.training.loggers import MakeLogger
from fulmen.training.recipe import Recipe
from fulmen.training.trainer import TrainerOptions


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A model, its data and how it is trained. Made by `build.build(config)`, or by hand in a test."""

    source: Source
    model: Callable[..., nn.Module]
    """Called with `in_shape` and `out_features`, makes the network."""
    init: Callable[[nn.Module], None]
    """Gives the network's parameters their first values."""
    recipe: Recipe
    start_from: ReadWeights | None = None
    """Reads the weights that the network begins with; None to begin with those of `init`."""
    trainer: TrainerOptions
    score: str = "val/loss"
    """The metric by which weights are best, as `<split>/<metric>`."""
    metrics: tuple[Metric, ...] = ()
    """Measured beside the task's own."""
    weights: Literal["best", "last"] = "best"
    """The weights that are evaluated."""
    logger: MakeLogger | None = None
    """Called with `save_dir`; None for no logger but the run's own history."""
    callbacks: Callable[[], Any] | None = None
    """Makes the callbacks beside Fulmen's own: one of Lightning's, or a list of them."""
    figures: FigureOptions = field(default_factory=FigureOptions)
    """Drawn at the end."""
    baseline: MakeBaseline | None = None
    """Called with the network and how it is trained, makes scikit-learn's equivalent; None for none."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """The folder and the circumstances in which one process trains an experiment."""

    folder: Path
    """The run's folder: made here, and empty if it exists."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The configuration, for `config.yaml` and the dashboard."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of `status.json`."""
    name: str = ""
    """The run's name in the dashboard, and so a folder's name."""
    hyperparameters: Sequence[str] = ()
    """Keys and groups whose values tell the run from others in the dashboard."""
    verbose: bool = True
    """True to print configuration, network, progress and metrics."""
    resume: bool = False
    """True to resume the run in `folder` from its last checkpoint."""
    threads: int | None = None
    """CPU threads that the run had before; None to choose them by the size of the work."""
    trust: bool = False
    """True to accept checkpoints that hold more than plain values, see `checkpoints.load`."""
    pruner: Pruner | None = None
    """Decides during training whether the run ends early."""
