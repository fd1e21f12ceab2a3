"""Fulmen composes experiments on neural networks: model × data × optimizer × accelerator, from one command.

From Python: `cfg = fulmen.compose(["model=deep"])`, `run = fulmen.train(cfg)`, then `run.metrics`, `run.model`,
`run.folder` and `run.predict(rows)`; `fulmen.load(folder)` loads a run, `fulmen.resume(folder)` resumes it.
`found = fulmen.sweep(["seed=range(10)"])` trains many, then `found.frame` and `found.curves`;
`fulmen.load_sweep(folder)` loads them.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fulmen.config.compose import compose as compose
    from fulmen.experiment.build import resume as resume
    from fulmen.experiment.build import train as train
    from fulmen.experiment.load import load as load
    from fulmen.sweeps.frame import load_sweep as load_sweep
    from fulmen.sweeps.frame import sweep as sweep

__version__ = version("fulmen")
__all__ = ["__version__", "compose", "load", "load_sweep", "resume", "sweep", "train"]

HOMES = {
    "compose": "config.compose",
    "load": "experiment.load",
    "load_sweep": "sweeps.frame",
    "resume": "experiment.build",
    "sweep": "sweeps.frame",
    "train": "experiment.build",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import fulmen` costs nothing."""
    if name not in HOMES:
        raise AttributeError(f"module 'fulmen' has no attribute {name!r}")
    return getattr(import_module(f"fulmen.{HOMES[name]}"), name)
