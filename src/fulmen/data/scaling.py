"""Standardization of features and regression targets to mean 0 and std 1, fitted on the training rows.

A scaling consists of plain numbers, so that a checkpoint can store it and new rows are scaled like the training rows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.chunks import parts
from fulmen.data.source import DataSpec, Split, TaskKind

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Standardizer:
    """Standardization: subtracts `mean` and divides by `std`; both broadcast over rows, [1, ...]."""

    mean: Values
    std: Values

    @classmethod
    def fit(cls, values: Values, axes: tuple[int, ...]) -> "Standardizer":
        """Computes mean and std over `axes`, chunk by chunk in double precision. Constant features are only centred.

        Mean and std have the dtype of the values; for integers, the float dtype that holds them.
        """
        total, low, high = np.zeros(()), np.array(np.inf), np.array(-np.inf)
        for part in parts(values):
            total = total + part.sum(axes, np.float64, keepdims=True)
            low = np.minimum(low, part.min(axes, keepdims=True))
            high = np.maximum(high, part.max(axes, keepdims=True))
        count = math.prod(values.shape[axis] for axis in axes)
        mean = total / count
        squares = sum(np.square(part - mean).sum(axes, keepdims=True) for part in parts(values))
        std = np.where(low == high, 1, np.sqrt(squares / count))  # of a constant it may be a rounding error
        dtype = np.result_type(values.dtype, np.float32)
        return cls(mean.astype(dtype), std.astype(dtype))

    def __call__(self, values: Values) -> Values:
        return (values - self.mean) / self.std

    def inverse(self, values: Values) -> Values:
        return values * self.std + self.mean

    def plain(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "std": self.std.tolist(), "dtype": str(self.mean.dtype)}

    @classmethod
    def of(cls, plain: Mapping[str, Any], shape: tuple[int, ...]) -> "Standardizer":
        """Restores the output of `plain`, bit for bit, for rows of a shape.

        Raises:
            ValueError: they are not a mean and a std of such rows.
        """
        mean, std = (np.asarray(plain[name], plain["dtype"]) for name in ("mean", "std"))
        for values in (mean, std):
            np.broadcast_to(values, (1, *shape))  # raises if it does not fit
        if mean.dtype.kind != "f" or not np.isfinite(mean).all() or not ((std > 0) & (std < np.inf)).all():
            raise ValueError("a mean or std is not finite, or a std is not above 0")
        return cls(mean, std)


@dataclass(frozen=True)
class Scaling:
    """The standardizers of features `x` and targets `y`; None leaves them unchanged."""

    x: Standardizer | None = None
    y: Standardizer | None = None

    @classmethod
    def fit(cls, train: Split, scale: str, task: TaskKind) -> "Scaling":
        """Fits the scaling named by `Source.scale`; class targets are never scaled."""
        if scale == "none":
            return cls()
        x = Standardizer.fit(train.x, (0, 2, 3) if scale == "channels" else (0,))
        return cls(x, Standardizer.fit(train.y, (0,)) if scale == "both" and task == "regression" else None)

    def __call__(self, split: Split) -> Split:
        return Split(split.x if self.x is None else self.x(split.x), split.y if self.y is None else self.y(split.y))

    def plain(self) -> dict[str, Any]:
        """Returns plain values, for a checkpoint."""
        return {name: None if part is None else part.plain() for name, part in (("x", self.x), ("y", self.y))}

    @classmethod
    def of(cls, plain: Mapping[str, Any], spec: DataSpec) -> "Scaling":
        """Restores the output of `plain`.

        Raises:
            ValueError: it does not fit rows of this spec.
        """
        shapes = {"x": spec.in_shape, "y": (spec.out_features,)}
        return cls(
            *(None if plain[name] is None else Standardizer.of(plain[name], shape) for name, shape in shapes.items())
        )
