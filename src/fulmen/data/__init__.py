"""Data sets: `source.py` says what one is, `module.py` feeds one to the Trainer, and each other file is one source."""
