"""What `scripts/benchmark.py` measures, each against a peer."""
