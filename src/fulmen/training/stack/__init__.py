"""Many copies of a network that train as one: their stacked weights, rows and rates, and the loop over intervals."""
