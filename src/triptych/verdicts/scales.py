"""Scales: on what a metric's values are compared, so that effects are what people understand and intervals stay legal.

"difference"   values as they are: nats, decibels, anything that may be negative. The effect is a - b.
"factor"       logarithms: distances, errors and times, which are positive. The effect is the ratio a / b, means are
               geometric, and intervals stay above 0.
"share"        logits: shares, which lie between 0 and 1. The effect is the difference a - b of two shares around the
               mean of both, and intervals stay within 0 and 1.
"event"        0 or 1 for each run, which is counted and never averaged: `triptych.verdicts.events`.

Source: logarithms for positive measurements, Bland & Altman, "Transforming data" (BMJ 312, 1996); the empirical logit
log((x + 1/2n) / (1 - x + 1/2n)) of a share x out of n, Cox, "Analysis of Binary Data" (1970).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from triptych.verdicts import events, stats

Scale = Literal["difference", "factor", "share", "event"]
SCALES: tuple[Scale, ...] = get_args(Scale)
IMAGES = 10_000
"""Out of how many a share is taken to be that does not say it."""


def scale_of(name: object) -> Scale:
    """The scale of this name; "difference" for one that is not known, such as that of an older file."""
    return cast(Scale, name) if name in SCALES else "difference"


def fits(scale: Scale, values: ArrayLike) -> bool:
    """Whether all values can be compared on the scale: a factor needs positive ones, a share those from 0 to 1."""
    x = np.asarray(values, dtype=float)
    if scale == "factor":
        return bool((x > 0).all())
    return scale != "share" or bool(((x >= 0) & (x <= 1)).all())


def transformed(scale: Scale, values: ArrayLike, images: int | None = None) -> np.ndarray:
    """Values on the scale on which they are averaged and tested; `images` is out of how many a share is.

    The values must fit the scale.
    """
    x = np.asarray(values, dtype=float)
    if scale == "factor":
        return np.log(x)
    if scale == "share":
        return np.log((x + _half(images)) / (1 - x + _half(images)))
    return x


def back(scale: Scale, y: float, images: int | None = None) -> float:
    """The value at a point of the scale: the geometric mean of a mean of logarithms, and so on."""
    if scale == "factor":
        return math.exp(min(y, 700.0))
    if scale == "share":
        share = (1 + 2 * _half(images)) * float(special.expit(y)) - _half(images)
        return min(max(share, 0.0), 1.0)
    return y


def _half(images: int | None) -> float:
    """Half an image as a share, so that shares of 0 and 1 have logits."""
    return 0.5 / (images or IMAGES)


def mean(
    scale: Scale,
    values: ArrayLike,
    level: float = 0.95,
    images: int | None = None,
    bounds: tuple[float | None, float | None] = (None, None),
) -> stats.Estimate:
    """The typical value with its t interval, both on the scale and brought back: within its range, whatever the n.

    Values that do not fit the scale, such as an error of exactly 0, are averaged as they are. The interval of an event
    is the exact one of its rate. No interval goes beyond the bounds, unless the mean itself does, as an unbiased
    estimate may.
    """
    if scale == "event":
        x = np.asarray(values, dtype=float)
        rate = events.rate(int(x.sum()), len(x), level)
        return stats.Estimate(point=rate.share, low=rate.low, high=rate.high, n=rate.n)
    if not fits(scale, values):
        scale = "difference"
    found = stats.mean(transformed(scale, values, images), level)
    low, high = (None if y is None else back(scale, y, images) for y in (found.low, found.high))
    point = back(scale, found.point, images)
    low = low if low is None or bounds[0] is None else max(low, min(bounds[0], point))
    high = high if high is None or bounds[1] is None else min(high, max(bounds[1], point))
    return stats.Estimate(point=point, low=low, high=high, n=found.n)


@dataclass(frozen=True)
class Effects:
    """Differences on a scale as effects for people, and margins the other way.

    `level` is the mean of both sides on the scale; a difference of logits means more in the middle than at the ends.
    """

    scale: Scale
    level: float = 0.0
    images: int | None = None

    def effect(self, d: float) -> float:
        """The effect of a difference on the scale: a ratio, a difference of shares, or the difference itself."""
        if self.scale == "factor":
            return math.exp(max(min(d, 700.0), -700.0))
        if self.scale == "share":
            above, below = special.expit(self.level + d / 2), special.expit(self.level - d / 2)
            return min(max((1 + 2 * _half(self.images)) * float(above - below), -1.0), 1.0)
        return d

    def margin(self, smallest: float) -> float:
        """The smallest effect that matters as a distance on the scale: log of a factor, logits of a difference.

        For shares it solves expit(m + d/2) - expit(m - d/2) = smallest, which is a quadratic in sinh(d/2).
        """
        if self.scale == "factor":
            return abs(math.log(smallest))
        if self.scale != "share":
            return smallest
        effect = smallest / (1 + 2 * _half(self.images))
        if effect >= 1:
            return math.inf
        c = math.cosh(min(abs(self.level), 300.0))
        s = effect * (c + math.sqrt(1 + effect**2 * (c**2 - 1))) / (1 - effect**2)
        return 2 * math.asinh(s)


def matters(scale: Scale, one: float, other: float, smallest: float) -> bool:
    """Whether two values differ by more than the smallest effect.

    Any difference matters if there is no smallest effect, or where the values do not fit the scale.
    """
    if not fits(scale, [one, other]) or not smallest:
        return one != other
    x, y = transformed(scale, [one, other])
    return abs(x - y) > Effects(scale, float(x + y) / 2).margin(smallest)


LEGAL = {
    "difference": "positive",
    "factor": "a factor above 1",
    "share": "a share above 0 and below 1 (0.05 is five per cent)",
    "event": "a share above 0 and below 1 (0.05 is five per cent)",
}
"""What a smallest effect must be, by scale."""


def is_legal_margin(scale: Scale, smallest: float) -> bool:
    """Whether this can be a smallest effect that matters, as `LEGAL` says."""
    if scale in ("share", "event"):
        return 0 < smallest < 1
    return math.isfinite(smallest) and smallest > (1 if scale == "factor" else 0)


def resolved(scale: Scale, value: float, error: float | None) -> float:
    """A value as it can be compared: an estimate that may fall below 0, as of a distance, counts as its error there.

    What lies below its standard error over the images cannot be told from it, and a factor needs a positive number.
    """
    return error if scale == "factor" and error and value < error else value
