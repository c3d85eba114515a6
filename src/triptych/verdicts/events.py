"""Events: how many of a framework's runs collapsed, diverged or failed otherwise, by exact methods.

An event is counted and not averaged: three runs without one do not show that there are none. One rate has the interval
of Clopper & Pearson (1934), two rates are compared by Boschloo's exact unconditional test (1970), which takes the runs
of both sides as independent. The interval of a difference joins two intervals of one rate, at half the error each, so
it covers at least as often as it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Rate:
    """`count` events in `n` runs: their share with its exact interval."""

    count: int
    n: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.count / self.n


def rate(count: int, n: int, level: float = 0.95) -> Rate:
    """The exact interval of Clopper and Pearson for `count` events in `n` runs; ValueError for impossible counts."""
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} events in {n} runs")
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(special.betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(special.betaincinv(count + 1, n - count, 1 - tail))
    return Rate(count=count, n=n, low=low, high=high)


def difference(a: Rate, b: Rate, level: float = 0.95) -> tuple[float, float]:
    """An interval of the difference of two rates, a - b, that covers at least at this level."""
    half = 1 - (1 - level) / 2
    a, b = rate(a.count, a.n, half), rate(b.count, b.n, half)
    return a.low - b.high, a.high - b.low


@lru_cache(maxsize=4096)
def p_value(count_a: int, n_a: int, count_b: int, n_b: int) -> float:
    """The two-sided p of Boschloo's exact unconditional test that both rates are equal."""
    if count_a * n_b == count_b * n_a:
        return 1.0
    from scipy import stats  # imported late, since it takes a second

    found = stats.boschloo_exact([[count_a, count_b], [n_a - count_a, n_b - count_b]], n=64)
    return min(1.0, float(found.pvalue))


@lru_cache(maxsize=4096)
def above_p(count_a: int, n_a: int, count_b: int, n_b: int, bound: float) -> float:
    """The one-sided p that the rate of a less that of b lies above a bound: the smallest alpha at which it is shown.

    That is where the lower end of the 1 - 2 alpha interval of the difference lies above the bound; 1 if it never does.
    """
    a, b = rate(count_a, n_a), rate(count_b, n_b)
    tried = np.geomspace(1e-6, 0.499, 400)
    return next((float(alpha) for alpha in tried if difference(a, b, 1 - 2 * float(alpha))[0] > bound), 1.0)


def equivalence_p(count_a: int, n_a: int, count_b: int, n_b: int, margin: float) -> float:
    """The smallest alpha at which the 1 - 2 alpha interval of the difference lies within the margin; 1 if none does.

    It needs many runs: 35 on either side, all without an event, for a margin of 0.1 at the 5 % level.
    """
    return max(above_p(count_a, n_a, count_b, n_b, -margin), above_p(count_b, n_b, count_a, n_a, -margin))
