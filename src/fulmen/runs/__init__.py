"""The record of a run: its folder, status, history, checkpoints, locks and signals."""
