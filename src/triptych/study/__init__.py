"""A study: the runs that it plans (`plan`), how they are computed (`runner`, `worker`, `executors`), and what follows.

Imports everything but the command line, `claims` and `papers`.
"""
