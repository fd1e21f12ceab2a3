"""One run: an experiment built from its configuration, prepared, trained, compared, printed and loaded again."""
