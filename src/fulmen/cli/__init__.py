"""What is typed: dispatch, help, Hydra's flags, and one file for each command."""
