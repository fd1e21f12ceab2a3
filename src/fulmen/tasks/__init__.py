"""Tasks, losses, penalties, metrics and evaluation, and the predictor made of a trained network."""
