"""Data sets whose splits have the sizes that the user asks for."""

from dataclasses import dataclass

from fulmen.data.checks import whole
from fulmen.data.source import Source


@dataclass(kw_only=True)
class Sized(Source):
    """Rows of each split. Where `val_size` or `test_size` is 0, there is no such split."""

    train_size: int
    val_size: int
    test_size: int

    def __post_init__(self) -> None:
        whole(1, train_size=self.train_size)
        whole(0, val_size=self.val_size, test_size=self.test_size, seed=self.seed)
