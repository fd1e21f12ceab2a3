"""What the user may have meant, by the letters of what was typed."""

import difflib
from collections.abc import Iterable


def suggestion(wrong: str, right: Iterable[str]) -> str:
    """`; did you mean x?` where something is close, else nothing."""
    near = nearest(wrong, right)
    return "" if near is None else f"; did you mean {near}?"


def nearest(wrong: str, right: Iterable[str], cutoff: float = 0.6) -> str | None:
    """What is closest, if that is at least as close as `cutoff` (1: the same letters)."""
    return next(iter(difflib.get_close_matches(wrong, list(right), n=1, cutoff=cutoff)), None)
