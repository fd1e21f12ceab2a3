"""What is done with runs: one file a command, whose docstring is its help."""
