"""Figures: which of them apply to a run, and the arrays that each is drawn from."""
