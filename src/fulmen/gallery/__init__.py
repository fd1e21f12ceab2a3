"""Which figures fit a run, and the arrays that they show: between the network and `figures`, which know no network."""
