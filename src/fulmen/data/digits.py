"""What the two sets of MNIST's handwritten digits share: `mnist`, all of them, and `mnist_5k`, a part."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fulmen.data.sized import Sized
from fulmen.data.source import Joint, Split


@dataclass(kw_only=True)
class Digits(Sized):
    """Images of 28 by 28 grey values, 0 (paper) to 1 (ink), and the digits that they show."""

    @property
    def joint(self) -> Joint:
        return Joint((1, 28, 28), 10, "multiclass", (), tuple("0123456789"))


def enough(available: int, **sizes: int) -> None:
    """Raises ValueError where splits need more digits than there are."""
    if sum(sizes.values()) > available:
        asked = ", ".join(f"data.{name}={size}" for name, size in sizes.items())
        raise ValueError(f"There are {available} digits for {asked}: ask for fewer.")


def split(images: NDArray[np.uint8], labels: NDArray[np.uint8], rows: NDArray[np.int64]) -> Split:
    """Some rows of images [N, 28, 28], 0 to 255, and of labels [N]."""
    return Split(images[rows, None] / np.float32(255), labels[rows].astype(np.int64))
