"""Fulmen composes experiments on neural networks: model × data × optimizer × accelerator, from one command.

From Python: `cfg = fulmen.compose(["model=deep"])`, `run = fulmen.train(cfg)`, then `run.metrics`, `run.model` and
`run.folder`.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fulmen.composition import compose as compose
    from fulmen.experiment import train as train

__version__ = version("fulmen")
__all__ = ["__version__", "compose", "train"]


def __getattr__(name: str) -> Any:
    """`compose` and `train`, imported when they are asked for, so that `import fulmen` costs nothing."""
    if name == "compose":
        from fulmen.composition import compose

        return compose
    if name == "train":
        from fulmen.experiment import train

        return train
    raise AttributeError(f"module 'fulmen' has no attribute {name!r}")
