"""What the user may have meant, by the letters of what was typed."""

import difflib
from collections.abc import Iterable


def suggestion(wrong: str, right: Iterable[str]) -> str:
    """`; did you mean x?` where something is close, else nothing."""
    near = difflib.get_close_matches(wrong, list(right), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
