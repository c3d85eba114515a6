"""Executors: where the runs of a study are computed. `local` is a few processes on this machine."""
