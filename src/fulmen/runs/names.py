"""Names of folders."""

import re
import secrets
from datetime import datetime
from typing import Final

from fulmen.rules import split_override

LONGEST: Final = 60
"""Letters of a readable name: Windows allows 260 in a whole path, some systems 255 bytes in a name."""
CUT: Final = "~"
"""Stands for what a name lacks; what was typed has none."""


def stamp() -> str:
    """`<date>_<time>_<6 random hex>`: readable, in order, and never the same twice, however runs start."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"


def readable(words: str) -> str:
    """Returns overrides as a folder name that every system allows: `model.hidden=[8,4] seed=1` loses its brackets."""
    plain = re.sub(r"[^\w.,=+ -]+", "-", re.sub(r"[\[\]{}()'\"]", "", words)).strip(" .-")
    return plain if len(plain) <= LONGEST else _shortened(plain)


def _shortened(plain: str) -> str:
    """Returns a name that lacks something and says nothing wrong: a value is there as a whole, or not at all.

    Keys lose their groups (`optimizer.lr=` is `lr=`), where that leaves no two alike. If that is not enough, words are
    left out, the first ones before the last ones, which vary fastest in a sweep.
    """
    words = re.split(r" +(?=[\w.+-]+=)", plain)
    keys = [split_override(word)[0] for word in words]
    last = [key.rpartition(".")[2] for key in keys]
    short = [
        name + word[len(key) :] if "=" in word and last.count(name) == 1 else word
        for word, key, name in zip(words, keys, last, strict=True)
    ]
    if len(" ".join(short)) <= LONGEST:
        return " ".join(short)
    kept: list[str] = []
    for word in reversed(short):
        if len(" ".join([CUT, word, *kept])) <= LONGEST:
            kept.insert(0, word)
    return " ".join([CUT, *kept]) if kept else words[-1][: min(len(keys[-1]) + 1, LONGEST - 1)] + CUT
