"""Fonts for the names in a figure. Matplotlib's own lacks the letters of many scripts, Chinese among them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from matplotlib import rc_context, rcParams
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

from fulmen.errors import warn

NO_FONT: Final = ("Last Resort", ".LastResort")
"""Beginnings of the names of fonts that show a box for every letter."""
REGULAR: Final = (400, "normal", "regular", "book")
"""Weights of a font that is neither bold nor light."""


@contextmanager
def letters(names: Iterable[str]) -> Iterator[None]:
    """Lets figures that are made and saved in the block show these names, with further installed fonts if needed.

    Warns of the letters that no installed font has.
    """
    families = list(rcParams["font.family"])
    missing = {letter for name in names for letter in name if letter.isprintable() and not letter.isascii()}
    if missing:
        missing -= _letters(findfont(FontProperties()))
        others = [font for font in fontManager.ttflist if font.style == "normal" and font.weight in REGULAR]
        for font in sorted(others, key=lambda font: ("Sans" not in font.name, font.name)):
            if missing and not font.name.startswith(NO_FONT) and (found := missing & _letters(font.fname)):
                families.append(font.name)
                missing -= found
    if missing:
        warn(
            f"no installed font has {' '.join(sorted(missing)[:20])}, so figures show boxes instead; "
            "install one that does, such as Noto Sans CJK"
        )
    with rc_context({"font.family": families}):
        yield


def _letters(file: str) -> set[str]:
    """Returns the letters that a font has; none, if it cannot be read, as those of coloured pictures."""
    try:
        return set(map(chr, get_font(file).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return set()
