"""How fast a training step and whole jobs are, next to the forms that others use. `python -m benchmarks --help`."""
