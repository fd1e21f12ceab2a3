"""What makes numbers of a table of the user's own, for `data/table.py`."""
