"""Callbacks of the Trainer: checkpoints, progress, pruning and snapshots."""
