"""Small-sample statistics: arrays in, estimates and p-values out. numpy and scipy only.

Sources: Student's paired t; two one-sided tests (Schuirmann 1987);
step-down adjustment (Holm 1979).

Intervals are t intervals, which hold their level at any n for normal data; a percentile bootstrap of three
seeds covers only 75 %. Fewer than two values give no interval and no p (None), never NaN.

No spread. When paired differences are all the same, up to float64 rounding, t divides by zero. We do not then
claim to know the difference exactly: there is no interval, and p comes from the exact sign-flip test, which
needs no spread: 2/2^n for a difference, 1/2^n for equivalence. Three identical differences stay undecided.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

_ROUNDING = 10 * float(np.finfo(float).eps)  # a spread this small against the values is rounding
_GAUSS_X, _GAUSS_W = np.polynomial.legendre.leggauss(128)
_NODES, _WEIGHTS = (_GAUSS_X + 1) / 2, _GAUSS_W / 2  # quadrature over the quantiles of the sample sd


MOST_SEEDS = 1000
"""How far `seeds_needed` looks."""
EXACT = 30
"""Up to so many differences all sign flips are tried."""


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; low and high are None where n values allow no interval."""

    point: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Paired:
    """The mean of a - b with its interval, the standard deviation of the differences, and the two-sided p."""

    difference: Estimate
    sd: float | None
    p: float | None


def mean(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of [n] values with its t interval; no interval for fewer than two values or without spread."""
    x = _finite(values)
    return _estimate(x, _spread(x, np.abs(x).max()), level)


def paired(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Paired:
    """Paired t test of a - b, arrays [n] matched by position; ValueError if empty, unequal or not finite."""
    d, sd = differences(a, b)
    n, estimate = len(d), _estimate(d, sd, level)
    if sd is None:
        p = None
    elif sd == 0:
        p = smallest_sign_flip_p(n) if estimate.point else 1.0
    else:
        p = float(2 * special.stdtr(n - 1, -abs(estimate.point) / (sd / math.sqrt(n))))
    return Paired(estimate, sd, p)


def equivalence_p(a: ArrayLike, b: ArrayLike, margin: float) -> float | None:
    """The p of two one-sided paired t tests that |mean of a - b| < margin; None for fewer than two pairs.

    Without spread it is 1: how far apart other seeds would lie is not known.
    """
    if not margin > 0:
        raise ValueError(f"the margin of an equivalence must be positive, got {margin}")
    d, sd = differences(a, b)
    n = len(d)
    if sd is None:
        return None
    if sd == 0:
        return 1.0
    # The side nearer to its margin has the larger p, and both must reject.
    return float(special.stdtr(n - 1, (abs(d.mean()) - margin) / (sd / math.sqrt(n))))


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's step-down adjusted p-values of [m] p-values, in the order given; ValueError if one is no number."""
    p = np.asarray(p, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must lie between 0 and 1, got {p}")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def smallest_sign_flip_p(n: int) -> float:
    """The smallest two-sided p of an exact paired test of n seeds, 2/2^n: five can never reach 0.05."""
    return min(1.0, 2.0 ** (1 - n))


def sign_flip_p(differences: ArrayLike) -> float:
    """Two-sided sign-flip (permutation) p of [n] paired differences: exact up to 30, else from 100,000 random flips.

    The sums of all flips are those of one half of the differences plus those of the other, and the other's are sorted
    once: 2^(n/2) steps instead of 2^n (the two lists of Horowitz and Sahni, 1974).
    """
    d = _finite(differences)
    # Sums that are equal on paper may differ by rounding, and a tie counts as extreme.
    extreme = abs(d.sum()) - 1e-12 * np.abs(d).sum()
    if extreme <= 0:
        return 1.0
    if len(d) > EXACT:
        return float(np.mean(np.abs(np.concatenate([[d.sum()], _random_flips(len(d)) @ d])) >= extreme))
    one, other = _flipped(d[: len(d) // 2]), np.sort(_flipped(d[len(d) // 2 :]))
    above = len(other) - np.searchsorted(other, extreme - one, side="left")
    below = np.searchsorted(other, -extreme - one, side="right")
    return float((above + below).sum() / 2 ** len(d))


@lru_cache(maxsize=1)
def _random_flips(n: int) -> np.ndarray:
    """Random signs [100 000, n], the same for all comparisons of n seeds."""
    return np.random.default_rng(0).integers(0, 2, (100_000, n), dtype=np.int8) * 2 - 1


def _flipped(d: np.ndarray) -> np.ndarray:
    """The sums of [n] differences under all flips of their signs, [2^n]."""
    sums = np.zeros(1)
    for x in d:
        sums = np.concatenate([sums + x, sums - x])
    return sums


def seeds_needed(
    difference: float,
    sd: float,
    margin: float | None,
    alpha: float,
    power: float = 0.8,
    cap: int = MOST_SEEDS,
    gap: float = 0.0,
) -> int | None:
    """The fewest seeds that would settle a comparison if its mean difference and its sd are as observed.

    Settled is whichever comes first: the paired t test at two-sided level alpha finds the difference with the
    given power, or two one-sided tests at alpha confirm equivalence within the margin with it. None: more
    than cap. Without spread, the exact sign-flip p below alpha takes the place of the power of the first, and nothing
    confirms equivalence. A difference must be shown to lie beyond the gap, and equivalence to lie that far within the
    margin.
    """
    beyond, room = abs(difference) - gap, (margin or 0.0) - gap
    within = abs(difference) < room and sd > 0

    def settles_difference(n: int) -> bool:
        if sd == 0:
            return smallest_sign_flip_p(n) < alpha
        return difference_power(n, beyond, sd, alpha) >= power

    def settles_equivalence(n: int) -> bool:
        return equivalence_power(n, difference, sd, room, alpha) >= power

    counts = [_first(settles_difference, cap)] if beyond > 0 else []
    counts += [_first(settles_equivalence, cap)] if within else []
    return min((n for n in counts if n is not None), default=None)


def sd_interval(sd: float, n: int, level: float = 0.8) -> tuple[float, float]:
    """The interval of a true standard deviation, from that of n normal values."""
    tail = (1 - level) / 2
    low, high = (math.sqrt((n - 1) / special.chdtri(n - 1, q)) for q in (tail, 1 - tail))
    return low * sd, high * sd


def difference_power(n: int, difference: float, sd: float, alpha: float) -> float:
    """Power of the two-sided paired t test: the noncentral t tails, integrated over the sample sd."""
    shift = abs(difference) / sd * math.sqrt(n)
    reach = special.stdtrit(n - 1, 1 - alpha / 2) * _sample_sd(n - 1)
    return float(_WEIGHTS @ (special.ndtr(shift - reach) + special.ndtr(-shift - reach)))


def equivalence_power(n: int, difference: float, sd: float, margin: float, alpha: float) -> float:
    """Exact power of two one-sided paired t tests: both reject when |mean| < margin - t s / sqrt(n)."""
    shift, room = abs(difference) / sd * math.sqrt(n), margin / sd * math.sqrt(n)
    half = room - special.stdtrit(n - 1, 1 - alpha) * _sample_sd(n - 1)
    return float(_WEIGHTS @ np.maximum(0.0, special.ndtr(half - shift) - special.ndtr(-half - shift)))


@lru_cache(maxsize=4096)
def _sample_sd(df: int) -> np.ndarray:
    """Quantiles of the sample sd over the true sd at the quadrature nodes: sqrt(chi2 / df)."""
    return np.sqrt(special.chdtri(df, 1 - _NODES) / df)


def _first(settles: Callable[[int], bool], cap: int) -> int | None:
    """The smallest n from 2 to cap that settles, by bisection, since power grows with n."""
    if not settles(cap):
        return None
    low, high = 1, cap
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high


def _finite(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError("expected a non-empty vector of finite numbers")
    return x


def differences(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, float | None]:
    """The paired differences [n] with their standard deviation, both free of rounding; None for a single pair."""
    x, y = _finite(a), _finite(b)
    if len(x) != len(y):
        raise ValueError(f"paired values must match: {len(x)} against {len(y)}")
    d, magnitude = x - y, max(np.abs(x).max(), np.abs(y).max())
    sd = _spread(d, magnitude)
    if sd == 0:
        # 0.1 + 0.2 against 0.3 in every seed is rounding and no difference.
        d = np.full(len(d), np.median(d) if abs(np.median(d)) > _ROUNDING * magnitude else 0.0)
    return d, sd


def _spread(x: np.ndarray, magnitude: float) -> float | None:
    """Sample standard deviation, exactly 0 where it is no more than rounding at that magnitude."""
    if len(x) < 2:
        return None
    unit = float(np.abs(x - x.mean()).max()) or 1.0  # so that squares neither overflow nor vanish
    sd = float(np.std((x - x.mean()) / unit, ddof=1) * unit)
    return sd if sd > _ROUNDING * magnitude else 0.0


def _estimate(x: np.ndarray, sd: float | None, level: float) -> Estimate:
    n, point = len(x), float(x.mean()) + 0.0  # no negative zero
    if not sd:
        return Estimate(
            point=float(x[0]), low=None, high=None, n=n
        )  # the one value there is, free of the rounding of a sum
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * sd / math.sqrt(n)
    return Estimate(point=point, low=point - half, high=point + half, n=n)
