"""Names of folders."""

import re
import secrets
from datetime import datetime
from typing import Final

LONGEST: Final = 60
"""Letters of a readable name: Windows allows 260 in a whole path, some systems 255 bytes in a name."""


def stamp() -> str:
    """`<date>_<time>_<6 random hex>`: readable, in order, and never the same twice, however runs start."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"


def readable(words: str) -> str:
    """What was typed, as a folder may be called on every system: `model.hidden=[8,4] seed=1` loses its brackets."""
    plain = re.sub(r"[^\w.,=+ -]+", "-", re.sub(r"[\[\]{}()'\"]", "", words))
    return plain[:LONGEST].strip(" .-")
