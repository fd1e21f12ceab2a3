"""Data sets: `source.py` defines the interface, `sets/` implements it, and the other files prepare the rows."""
