"""Features, and targets that are values, brought to mean 0 and deviation 1, as the training rows have them.

A scaling is plain numbers, so that a checkpoint can keep it and new rows are treated as the training rows were.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.chunks import parts
from fulmen.data.source import Split, TaskKind

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Standardizer:
    """Subtracts `mean` and divides by `std`; both broadcast over rows, [1, ...]."""

    mean: Values
    std: Values

    @classmethod
    def fit(cls, values: Values, axes: tuple[int, ...]) -> "Standardizer":
        """Mean and deviation over `axes`, added up part by part in double precision; what is constant is only centred.

        They have the type of the values, and whole numbers that of floats that hold them.
        """
        total, low, high = np.zeros(()), np.array(np.inf), np.array(-np.inf)
        for part in parts(values):
            total = total + part.sum(axes, np.float64, keepdims=True)
            low = np.minimum(low, part.min(axes, keepdims=True))
            high = np.maximum(high, part.max(axes, keepdims=True))
        count = math.prod(values.shape[axis] for axis in axes)
        mean = total / count
        squares = sum(np.square(part - mean).sum(axes, keepdims=True) for part in parts(values))
        std = np.where(low == high, 1, np.sqrt(squares / count))  # there it may be a rounding error
        dtype = np.result_type(values.dtype, np.float32)
        return cls(mean.astype(dtype), std.astype(dtype))

    def __call__(self, values: Values) -> Values:
        return (values - self.mean) / self.std

    def inverse(self, values: Values) -> Values:
        return values * self.std + self.mean

    def plain(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "std": self.std.tolist(), "dtype": str(self.mean.dtype)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Standardizer":
        """What `plain` wrote down, to the last bit."""
        return cls(*(np.asarray(plain[name], plain["dtype"]) for name in ("mean", "std")))


@dataclass(frozen=True)
class Scaling:
    """What is done to features `x` and to targets `y`; None leaves them as they are."""

    x: Standardizer | None = None
    y: Standardizer | None = None

    @classmethod
    def fit(cls, train: Split, scale: str, task: TaskKind) -> "Scaling":
        """As `Source.scale` says; classes have nothing to scale."""
        if scale == "none":
            return cls()
        x = Standardizer.fit(train.x, (0, 2, 3) if scale == "channels" else (0,))
        return cls(x, Standardizer.fit(train.y, (0,)) if scale == "both" and task == "regression" else None)

    def __call__(self, split: Split) -> Split:
        return Split(split.x if self.x is None else self.x(split.x), split.y if self.y is None else self.y(split.y))

    def plain(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {name: None if part is None else part.plain() for name, part in (("x", self.x), ("y", self.y))}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Scaling":
        """What `plain` wrote down."""
        return cls(*(None if plain[name] is None else Standardizer.of(plain[name]) for name in ("x", "y")))
