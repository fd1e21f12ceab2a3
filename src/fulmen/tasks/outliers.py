"""Values so large that no error can be measured on the rows that hold them, such as an instrument's 1e36 for "missing".

Shapes: B rows of a chunk.
"""

import math
from typing import NamedTuple

import torch

from fulmen.data.scaling import Scaling
from fulmen.data.source import DataSpec
from fulmen.data.tensors import Rows, chunks


class Outlier(NamedTuple):
    """A row that cannot be measured."""

    row: int
    """Its number in the split, from 0."""
    what: str
    """As in `the feature 'load' is 1e+36`."""


def outlier(split: Rows, spec: DataSpec, scaling: Scaling) -> Outlier | None:
    """Returns the first target or feature so large that a mean of squares overflows in the rows' dtype, or None."""
    targets = spec.target_names if spec.task == "regression" else ()
    start = 0
    for x, y in chunks(split):
        for values, standardizer, names, what in (
            (y, scaling.y, targets, "target"),
            (x, scaling.x, spec.feature_names, "feature"),
        ):
            if not values.is_floating_point():
                continue
            largest = torch.finfo(torch.promote_types(values.dtype, torch.float32)).max
            limit = math.sqrt(largest / split.rows)
            wrong = ~(values.abs() <= limit)  # NaN is, too
            if wrong.any():
                row, *where = wrong.nonzero()[0].tolist()
                name = repr(names[where[0]]) if names else str(where)
                found = values[row : row + 1].cpu().numpy()
                value = (found if standardizer is None else standardizer.inverse(found))[(0, *where)]
                scaled = f" ({found[(0, *where)]:.2g} std from the mean in training)" if abs(value) <= limit else ""
                return Outlier(start + row, f"the {what} {name} is {value:.6g}{scaled}")
        start += len(x)
    return None
