"""Turns a table of the user's own into numbers, for `data/sets/table.py`."""
