"""Callbacks of the Trainer: checkpoints, progress, pruning, snapshots and statistics."""
