"""What is wrong with a key of a data set, said in a sentence that holds the value and the way out."""

from math import inf


def at_least(minimum: float, **values: object) -> None:
    """Raises ValueError unless every value is a number of `minimum` or more."""
    for name, value in values.items():
        if not isinstance(value, int | float) or not minimum <= value < inf:
            raise ValueError(f"data.{name} is {value!r}: give a number of {minimum} or more.")


def whole(minimum: int, **values: object) -> None:
    """Raises ValueError unless every value is a whole number of `minimum` or more."""
    for name, value in values.items():
        if not isinstance(value, int) or value < minimum:
            raise ValueError(f"data.{name} is {value!r}: give a whole number of {minimum} or more.")


def between(low: float, high: float, because: str = "", **values: object) -> None:
    """Raises ValueError unless every value is a number above `low` and below `high`, which may be infinite.

    Args:
        low: the bound below.
        high: the bound above.
        because: why, where that is not plain.
        values: by the names of their keys.
    """
    for name, value in values.items():
        if not isinstance(value, int | float) or not low < value < high:
            limits = f"above {low}" if high == inf else f"above {low} and below {high}"
            raise ValueError(f"data.{name} is {value!r}: give a number {limits}{because and f'; {because}'}.")
