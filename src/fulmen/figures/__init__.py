"""Which figures fit a run, and the arrays that they are drawn from."""
