"""How the seeds of two sides belong together: paired, as the seeds of a study are, or independent of each other.

At one seed, the frameworks of a study share data order, latents and initial weights, so their scores are compared
seed by seed: the paired t test, and the exact sign-flip test. Sets of samples that other programs have made share
nothing, and in which order they are listed must not matter: Welch's t test (1947), with the degrees of freedom of
Satterthwaite (1946), and the exact permutation test of which set belongs to which side.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from triptych.verdicts import stats

Scores = Mapping[int, float]
"""By seed, of one side."""
Seeds = Sequence[Collection[int]]
"""Of either side, some seeds."""
Sides = tuple[list[float], list[float]]
"""The values of a and of b; of pairs, in the same order."""
EXACT = 200_000
"""Up to so many ways to part the sets between the sides, all are tried; else so many at random."""


@dataclass(frozen=True)
class Difference:
    """The mean of a less that of b: its standard error, and the degrees of freedom of that error.

    `sd` is the standard deviation of one difference, of a pair or of two independent values. Both are None where
    there are too few values, and 0 where there is no spread.
    """

    point: float
    error: float | None
    df: float
    sd: float | None

    def interval(self, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
        """The t interval; none without spread."""
        if not self.error:
            return None, None
        half = float(special.stdtrit(self.df, (1 + level) / 2)) * self.error
        return self.point - half, self.point + half

    def beyond_p(self, gap: float = 0.0) -> float:
        """The two-sided p of a t test that the difference lies beyond the gap, on the side where it is seen.

        Without spread it is 1: that takes the exact test.
        """
        if not self.error:
            return 1.0
        return min(1.0, 2 * float(special.stdtr(self.df, (gap - abs(self.point)) / self.error)))

    def within_p(self, margin: float) -> float:
        """The p of two one-sided t tests that the difference lies within the margin (Schuirmann 1987).

        Without spread it is 1: how far apart other seeds would lie is not known.
        """
        if not self.error or margin <= 0:
            return 1.0
        return float(special.stdtr(self.df, (abs(self.point) - margin) / self.error))


class Design(ABC):
    """Which values of two sides are compared, and how: [n] of a and [m] of b, after choosing, on any scale."""

    paired: ClassVar[bool]

    @abstractmethod
    def common(self, a: Scores, b: Scores) -> Sides:
        """All values that can be compared; two empty lists where there are none."""

    @abstractmethod
    def typical(self, a: Scores, b: Scores, failed: Seeds) -> tuple[Sides, bool]:
        """The values of runs that did not fail, and whether most failed, so that all that there are come instead."""

    @abstractmethod
    def missing(self, a: Scores, b: Scores, undefined: Seeds, worst: float) -> tuple[Sides, int]:
        """What takes part besides where the scores that are missing count as the worst, and how many are missing."""

    @abstractmethod
    def duels(self, a: Scores, b: Scores) -> list[tuple[float, float]]:
        """The pairs out of which a has a share that it wins."""

    @abstractmethod
    def difference(self, a: np.ndarray, b: np.ndarray) -> Difference:
        """The mean of a less that of b, with its error."""

    @abstractmethod
    def exact_p(self, a: np.ndarray, b: np.ndarray, gap: float = 0.0) -> float:
        """The two-sided p, without assumptions, that the difference lies beyond the gap."""


class Paired(Design):
    """Seed by seed: the paired t test and the sign-flip test."""

    paired = True

    def common(self, a: Scores, b: Scores) -> Sides:
        return _values(a, b, sorted(a.keys() & b.keys()))

    def typical(self, a: Scores, b: Scores, failed: Seeds) -> tuple[Sides, bool]:
        either = {*failed[0], *failed[1]}
        kept = [seed for seed in sorted(a.keys() & b.keys()) if seed not in either]
        most = not kept or 2 * len(either) > len(a.keys() | b.keys() | either)
        return (self.common(a, b) if most else _values(a, b, kept)), most

    def missing(self, a: Scores, b: Scores, undefined: Seeds, worst: float) -> tuple[Sides, int]:
        """A score is missing where the other side has one."""
        single = sorted(a.keys() ^ b.keys())
        return ([a.get(seed, worst) for seed in single], [b.get(seed, worst) for seed in single]), len(single)

    def duels(self, a: Scores, b: Scores) -> list[tuple[float, float]]:
        return list(zip(*self.common(a, b), strict=True))

    def difference(self, a: np.ndarray, b: np.ndarray) -> Difference:
        d, sd = stats.differences(a, b)
        error = None if sd is None else sd / math.sqrt(len(d))
        return Difference(point=float(d.mean()) + 0.0, error=error, df=len(d) - 1, sd=sd)

    def exact_p(self, a: np.ndarray, b: np.ndarray, gap: float = 0.0) -> float:
        d, _ = stats.differences(a, b)
        return stats.sign_flip_p(_beyond(d, float(d.mean()), gap))


class Independent(Design):
    """Every value of a meets every one of b: Welch's t test, in which each side has its own variance, and permutation.

    A single value on either side has no variance.
    """

    paired = False

    def common(self, a: Scores, b: Scores) -> Sides:
        return ([a[seed] for seed in sorted(a)], [b[seed] for seed in sorted(b)]) if a and b else ([], [])

    def typical(self, a: Scores, b: Scores, failed: Seeds) -> tuple[Sides, bool]:
        both = list(zip((a, b), failed, strict=True))
        x, y = ([side[seed] for seed in sorted(side) if seed not in own] for side, own in both)
        most = not x or not y or any(2 * len(own) > len({*side, *own}) for side, own in both)
        return (self.common(a, b) if most else (x, y)), most

    def missing(self, a: Scores, b: Scores, undefined: Seeds, worst: float) -> tuple[Sides, int]:
        x, y = ([worst] * len(seeds) for seeds in undefined)
        return (x, y), len(x) + len(y)

    def duels(self, a: Scores, b: Scores) -> list[tuple[float, float]]:
        return list(itertools.product(a.values(), b.values()))

    def difference(self, a: np.ndarray, b: np.ndarray) -> Difference:
        point = float(a.mean() - b.mean())
        if min(len(a), len(b)) < 2:
            return Difference(point=point, error=None, df=0, sd=None)
        variances = [stats.differences(side, np.full(len(side), side.mean()))[1] or 0.0 for side in (a, b)]
        one, other = (sd**2 / len(side) for sd, side in zip(variances, (a, b), strict=True))
        error, sd = math.sqrt(one + other), math.hypot(*variances)
        if not error:
            return Difference(point=point, error=0.0, df=len(a) + len(b) - 2, sd=0.0)
        df = (one + other) ** 2 / (one**2 / (len(a) - 1) + other**2 / (len(b) - 1))
        return Difference(point=point, error=error, df=df, sd=sd)

    def exact_p(self, a: np.ndarray, b: np.ndarray, gap: float = 0.0) -> float:
        return permutation_p(a, b, gap)


def _values(a: Scores, b: Scores, seeds: list[int]) -> Sides:
    return [a[seed] for seed in seeds], [b[seed] for seed in seeds]


def permutation_p(a: ArrayLike, b: ArrayLike, gap: float = 0.0) -> float:
    """Two-sided p of the permutation test that [n] and [m] independent values are of one law, but for the gap.

    Exact up to 200,000 ways to part them, else from as many random ones.
    """
    x, y = np.asarray(a, float), np.asarray(b, float)
    x = _beyond(x, float(x.mean() - y.mean()), gap)
    values, n = np.concatenate([x, y]), len(x)
    seen = abs(x.mean() - y.mean()) - 1e-12 * np.abs(values).max()
    if seen <= 0:
        return 1.0
    if math.comb(len(values), n) <= EXACT:
        chosen = np.array(list(itertools.combinations(range(len(values)), n)))
    else:
        draw = np.random.default_rng(0)
        chosen = np.argsort(draw.random((EXACT, len(values))), axis=1)[:, :n]
        chosen[0] = np.arange(n)  # the one that is seen
    sums = values[chosen].sum(axis=1)
    apart = np.abs(sums / n - (values.sum() - sums) / (len(values) - n))
    return float(np.mean(apart >= seen))


def _beyond(values: np.ndarray, difference: float, gap: float) -> np.ndarray:
    """The values moved towards no difference by the gap, and not past it: what lies within it shows nothing."""
    return values - math.copysign(min(gap, abs(difference)), difference)


PAIRED: Design = Paired()
INDEPENDENT: Design = Independent()
