"""Values so large that no error can be measured on the rows that hold them, such as an instrument's 1e36 for "missing".

Shapes: B rows of a chunk.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from fulmen.data.scaling import Scaling, Standardizer
from fulmen.data.source import DataSpec
from fulmen.data.tensors import Rows, chunks

WIDE = 1e12
"""Std of a column that one value can make: then nothing is left of the others when they are scaled."""


class Outlier(NamedTuple):
    """A row that cannot be measured."""

    row: int
    """Its number in the split, from 0."""
    what: str
    """As in `the feature 'load' is 1e+36`."""


def outlier(split: Rows, spec: DataSpec, scaling: Scaling) -> Outlier | None:
    """Returns the first target or feature so large that a mean of squares overflows in the rows' dtype, or None."""
    return _first(split, spec, scaling, lambda values, _: ~(values.abs() <= _limit(values, split)))  # NaN is, too


def dominant(train: Rows, spec: DataSpec, scaling: Scaling) -> Outlier | None:
    """Returns the first target or feature that makes a quarter of its column's variance, if that is very large."""

    def is_wrong(values: Tensor, standardizer: Standardizer | None) -> Tensor:
        if standardizer is None:
            return torch.zeros_like(values, dtype=torch.bool)
        is_wide = torch.from_numpy(standardizer.std > WIDE).to(values.device)
        return is_wide & (values.abs() > math.sqrt(train.rows) / 2)

    stds = [part.std.max() for part in (scaling.x, scaling.y) if part is not None]
    return _first(train, spec, scaling, is_wrong) if max(stds, default=0) > WIDE else None


def _limit(values: Tensor, split: Rows) -> float:
    return math.sqrt(torch.finfo(torch.promote_types(values.dtype, torch.float32)).max / split.rows)


def _first(
    split: Rows, spec: DataSpec, scaling: Scaling, is_wrong: Callable[[Tensor, Standardizer | None], Tensor]
) -> Outlier | None:
    targets = spec.target_names if spec.task == "regression" else ()
    start = 0
    for x, y in chunks(split):
        columns = [(y, scaling.y, targets, "target")] if y.is_floating_point() else []
        for values, standardizer, names, what in (*columns, (x, scaling.x, spec.feature_names, "feature")):
            if (wrong := is_wrong(values, standardizer)).any():
                row, *where = wrong.nonzero()[0].tolist()
                name = repr(names[where[0]]) if names else str(where)
                found = values[row : row + 1].cpu().numpy()
                value = (found if standardizer is None else standardizer.inverse(found))[(0, *where)]
                harmless = abs(value) <= _limit(values, split)
                scaled = f" ({found[(0, *where)]:.2g} std from the mean in training)" if harmless else ""
                return Outlier(start + row, f"the {what} {name} is {value:.6g}{scaled}")
        start += len(x)
    return None
