"""Names of folders."""

import secrets
from datetime import datetime


def stamp() -> str:
    """`<date>_<time>_<6 random hex>`: readable, in order, and never the same twice, however runs start."""
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"
