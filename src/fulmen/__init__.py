"""Fulmen composes experiments on neural networks: model × data × optimizer × accelerator, from one command.

From Python: `run = fulmen.train(["model=deep"])`, or `fulmen.train(model=Net, data=(x, y))`; then `run.metrics`,
`run.history`, `run.plot()`, `run.model`, `run.folder` and `run.predict(rows)`. `fulmen.compose(["model=deep"])` gives a
configuration to look at or train; `fulmen.load(folder)` loads a run, `fulmen.resume(folder)` resumes it.
`found = fulmen.sweep(["seed=range(10)"])` trains many, then `found.frame`, `found.curves` and `found.compare()`;
`fulmen.load_sweep(folder)` loads them.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fulmen.experiment.api import compose as compose
    from fulmen.experiment.api import load as load
    from fulmen.experiment.api import resume as resume
    from fulmen.experiment.api import train as train
    from fulmen.sweeps.frame import load_sweep as load_sweep
    from fulmen.sweeps.frame import sweep as sweep

__version__ = version("fulmen")
__all__ = ["__version__", "compose", "load", "load_sweep", "resume", "sweep", "train"]

HOMES = {
    "compose": "experiment.api",
    "load": "experiment.api",
    "load_sweep": "sweeps.frame",
    "resume": "experiment.api",
    "sweep": "sweeps.frame",
    "train": "experiment.api",
}


def __dir__() -> list[str]:
    """Lists the public names, for completion in notebooks."""
    return __all__


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import fulmen` costs nothing."""
    if name not in HOMES:
        raise AttributeError(f"module 'fulmen' has no attribute {name!r}")
    return getattr(import_module(f"fulmen.{HOMES[name]}"), name)
