"""The evidence of one comparison: what two sides of scores say, before p-values are adjusted for other comparisons."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from triptych.verdicts import events, scales, sequential, stats
from triptych.verdicts.scales import Effects, Scale

Scores = Mapping[int, float]
"""By seed, of one side."""
NARROW = 0.9
"""Two one-sided tests at 5 % say "equivalent" if the 90 % interval lies within the margin."""
NOT_POSITIVE = "a value is not positive, so there is no factor between them"
NO_SHARE = "a value is not between 0 and 1"


@dataclass(frozen=True)
class Evidence:
    """Effect, interval, means and p-values of a against b, as `triptych.verdicts.comparisons.Verdict` has them.

    The p-values are not adjusted for other comparisons; None for fewer than two pairs, or without a margin.
    """

    effect: float
    low: float | None
    high: float | None
    narrow_low: float | None
    narrow_high: float | None
    n: int
    sd: float | None
    correlation: float | None
    difference: float
    margin: float | None
    mean_a: float
    mean_b: float
    improvement: float
    improvement_low: float
    improvement_high: float
    imputed: int
    most_failed: bool
    rescaled: str
    p: float | None
    p_equivalence: float | None
    p_sign: float | None


@dataclass(frozen=True)
class Question:
    """What is asked of two sides: `smallest_effect` as the scale states it, `images` out of which shares are.

    `failed` are the seeds in which a run of either side failed, and `looks` the planned numbers of seeds.
    """

    scale: Scale
    better: Literal["lower", "higher"]
    smallest_effect: float | None = None
    failed: Collection[int] = ()
    images: int | None = None
    looks: Sequence[int] = ()


def weigh(a: Scores, b: Scores, question: Question) -> Evidence | None:
    """The evidence of two sides by seed; None where no seed has a score of both."""
    paired = sorted(a.keys() & b.keys())
    if not paired:
        return None
    return _counted(a, b, paired, question) if question.scale == "event" else _measured(a, b, paired, question)


def _measured(a: Scores, b: Scores, paired: list[int], question: Question) -> Evidence:
    every = [*a.values(), *b.values()]
    scale, smallest, rescaled = question.scale, question.smallest_effect, ""
    if not scales.fits(scale, every):
        rescaled = NOT_POSITIVE if scale == "factor" else NO_SHARE
        scale, smallest = "difference", None  # a smallest factor says nothing of a difference

    def on_scale(values: Sequence[float]) -> np.ndarray:
        return scales.transformed(scale, values, question.images)

    kept = _healthy(a, b, paired, question.failed)
    most_failed = not kept
    kept = kept or paired
    x, y = on_scale([a[seed] for seed in kept]), on_scale([b[seed] for seed in kept])
    found = stats.paired(x, y)
    d = found.difference
    effects = Effects(scale, float(x.mean() + y.mean()) / 2, question.images)
    margin = effects.margin(smallest) if smallest is not None else None
    sides = [(x, y)]
    single = sorted(a.keys() ^ b.keys())
    if single:
        worst = (max if question.better == "lower" else min)(every)
        seeds = [*kept, *single]
        sides.append((on_scale([a.get(s, worst) for s in seeds]), on_scale([b.get(s, worst) for s in seeds])))
    p, p_equivalence, p_sign = (1.0, None, 1.0) if most_failed else _tests(sides, margin, question.looks)
    narrow = stats.paired(x, y, NARROW).difference
    low, high, narrow_low, narrow_high = (
        None if bound is None else effects.effect(bound) for bound in (d.low, d.high, narrow.low, narrow.high)
    )
    return Evidence(
        effect=effects.effect(d.point),
        low=low,
        high=high,
        narrow_low=narrow_low,
        narrow_high=narrow_high,
        n=len(kept),
        sd=found.sd,
        correlation=_correlation(x, y),
        difference=d.point,
        margin=margin,
        mean_a=scales.mean(scale, [a[seed] for seed in kept], images=question.images).point,
        mean_b=scales.mean(scale, [b[seed] for seed in kept], images=question.images).point,
        **_improvement(a, b, paired, question.better),
        imputed=len(single),
        most_failed=most_failed,
        rescaled=rescaled,
        p=p,
        p_equivalence=p_equivalence,
        p_sign=p_sign,
    )


def _correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """How alike the sides vary over seeds: what pairing gains; None for fewer than three seeds, or without spread."""
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 and x.std() > 0 and y.std() > 0 else None


def _healthy(a: Scores, b: Scores, paired: list[int], failed: Collection[int]) -> list[int]:
    """The seeds in which no run of either side failed; none where more runs failed than not."""
    kept = [seed for seed in paired if seed not in failed]
    return kept if 2 * len(kept) >= len(paired) else []


def _counted(a: Scores, b: Scores, paired: list[int], question: Question) -> Evidence:
    """Events: exact methods on counts."""
    one, two = (events.rate(round(math.fsum(side[seed] for seed in paired)), len(paired)) for side in (a, b))
    low, high = events.difference(one, two)
    times = max(1, len(question.looks))
    p = min(1.0, times * events.p_value(one.count, one.n, two.count, two.n))
    p_equivalence = None
    if question.smallest_effect is not None:
        raw = events.equivalence_p(one.count, one.n, two.count, two.n, question.smallest_effect)
        p_equivalence = min(1.0, times * raw)
    return Evidence(
        effect=one.share - two.share,
        low=low,
        high=high,
        narrow_low=None,
        narrow_high=None,
        n=len(paired),
        sd=None,
        correlation=None,
        difference=one.share - two.share,
        margin=question.smallest_effect,
        mean_a=one.share,
        mean_b=two.share,
        **_improvement(a, b, paired, question.better),
        imputed=0,
        most_failed=False,
        rescaled="",
        p=p,
        p_equivalence=p_equivalence,
        p_sign=p,
    )


def _tests(
    sides: Sequence[tuple[np.ndarray, np.ndarray]], margin: float | None, looks: Sequence[int]
) -> tuple[float | None, float | None, float | None]:
    """The p of a difference, of equivalence and of the sign-flip test: the largest over all pairs of sides given.

    A difference must have the sign that it has on the first. None for fewer than two pairs on the first.
    """
    if len(sides[0][0]) < 2:
        return None, None, None
    sign = np.sign(np.mean(sides[0][0] - sides[0][1]))
    found = []
    for x, y in sides:
        if len(x) < 2:
            found.append((1.0, 1.0, 1.0))
            continue
        result = stats.paired(x, y)
        signs = min(1.0, max(1, len(looks)) * stats.sign_flip_p(x - y))
        # Without spread the t test is the exact one, and nothing is known of how far apart other seeds would lie.
        p = signs if result.sd == 0 else sequential.calibrated(result.p or 0.0, looks)
        same = 1.0 if margin is None else stats.equivalence_p(x, y, margin) or 0.0
        agrees = np.sign(np.mean(x - y)) == sign
        found.append(
            (p if agrees else 1.0, sequential.calibrated(same, looks, one_sided=True), signs if agrees else 1.0)
        )
    p, same, signs = (max(column) for column in zip(*found, strict=True))
    return p, None if margin is None else same, signs


def _improvement(a: Scores, b: Scores, paired: list[int], better: str) -> dict[str, float]:
    """The share of seeds in which a is better, ties by half; in its exact interval a tie may be either."""
    gains = [(b[s] - a[s]) * (1 if better == "lower" else -1) for s in paired]
    won, tied, n = sum(gain > 0 for gain in gains), sum(gain == 0 for gain in gains), len(gains)
    return {
        "improvement": (won + tied / 2) / n,
        "improvement_low": events.rate(won, n).low,
        "improvement_high": events.rate(won + tied, n).high,
    }
