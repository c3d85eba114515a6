"""The evidence of one comparison: what two sides of scores say, before p-values are adjusted for other comparisons."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from triptych.verdicts import events, scales, sequential
from triptych.verdicts.designs import PAIRED, Design, Scores, Sides
from triptych.verdicts.scales import Effects, Scale

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
    improvement_low: float | None
    improvement_high: float | None
    imputed: int
    most_failed: bool
    rescaled: str
    p: float | None
    p_equivalence: float | None
    p_sign: float | None


@dataclass(frozen=True)
class Question:
    """What is asked of two sides: `smallest_effect` as the scale states it, `images` out of which shares are.

    `failed` are, for either side, the seeds in which its run failed, `undefined` those in which it has no score.
    `looks` are the planned numbers of seeds. A difference within `gap`, on the scale "difference", shows nothing.
    `unresolved` says that some values lie below what the images can tell apart, so that nothing is equivalent.
    """

    scale: Scale
    better: Literal["lower", "higher"]
    smallest_effect: float | None = None
    failed: Sequence[Collection[int]] = ((), ())
    undefined: Sequence[Collection[int]] = ((), ())
    images: int | None = None
    looks: Sequence[int] = ()
    gap: float = 0.0
    unresolved: bool = False
    design: Design = PAIRED

    def worst(self, values: Sequence[float]) -> float:
        """What counts as the worst for a score that is missing."""
        if self.scale == "event":
            return 1.0 if self.better == "lower" else 0.0
        return (max if self.better == "lower" else min)(values)


def weigh(a: Scores, b: Scores, question: Question) -> Evidence | None:
    """The evidence of two sides by seed; None where no seed has a score of both, or one of two has none."""
    if not question.design.common(a, b)[0]:
        return None
    return _counted(a, b, question) if question.scale == "event" else _measured(a, b, question)


def _completed(kept: Sides, a: Scores, b: Scores, question: Question) -> tuple[Sides, int]:
    """The sides with the scores that are missing at the worst, and how many these are."""
    worst = question.worst([*a.values(), *b.values()])
    (x, y), imputed = question.design.missing(a, b, question.undefined, worst)
    return ([*kept[0], *x], [*kept[1], *y]), imputed


def _measured(a: Scores, b: Scores, question: Question) -> Evidence:
    scale, smallest, rescaled = question.scale, question.smallest_effect, ""
    if not scales.fits(scale, [*a.values(), *b.values()]):
        rescaled = NOT_POSITIVE if scale == "factor" else NO_SHARE
        scale, smallest = "difference", None  # a smallest factor says nothing of a difference

    def on_scale(sides: Sides) -> tuple[np.ndarray, np.ndarray]:
        one, other = (scales.transformed(scale, values, question.images) for values in sides)
        return one, other

    typical, most_failed = question.design.typical(a, b, question.failed)
    completed, imputed = _completed(typical, a, b, question)
    x, y = on_scale(typical)
    found = question.design.difference(x, y)
    effects = Effects(scale, float(x.mean() + y.mean()) / 2, question.images)
    margin = effects.margin(smallest) if smallest is not None else None
    sides = [(x, y), on_scale(completed)] if imputed else [(x, y)]
    p, p_equivalence, p_sign = (1.0, None, 1.0) if most_failed else _tests(sides, margin, question)
    low, high, narrow_low, narrow_high = (
        None if bound is None else effects.effect(bound) for bound in (*found.interval(), *found.interval(NARROW))
    )
    return Evidence(
        effect=effects.effect(found.point),
        low=low,
        high=high,
        narrow_low=narrow_low,
        narrow_high=narrow_high,
        n=min(len(x), len(y)),
        sd=found.sd,
        correlation=_correlation(x, y) if question.design.paired else None,
        difference=found.point,
        margin=margin,
        mean_a=scales.mean(scale, typical[0], images=question.images).point,
        mean_b=scales.mean(scale, typical[1], images=question.images).point,
        **_improvement(a, b, question),
        imputed=imputed,
        most_failed=most_failed,
        rescaled=rescaled,
        p=p,
        p_equivalence=p_equivalence,
        p_sign=p_sign,
    )


def _correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """How alike the sides vary over seeds: what pairing gains; None for fewer than three seeds, or without spread."""
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 and x.std() > 0 and y.std() > 0 else None


def _counted(a: Scores, b: Scores, question: Question) -> Evidence:
    """Events: exact methods on counts; they must hold with the scores that are missing at the worst, too."""
    typical = question.design.common(a, b)
    completed, imputed = _completed(typical, a, b, question)
    one, two = _rates(typical)
    low, high = events.difference(one, two)
    tests = [_event_tests(*_rates(sides), one.share - two.share, question) for sides in (typical, completed)]
    p = max(test[0] for test in tests)
    return Evidence(
        effect=one.share - two.share,
        low=low,
        high=high,
        narrow_low=None,
        narrow_high=None,
        n=min(one.n, two.n),
        sd=None,
        correlation=None,
        difference=one.share - two.share,
        margin=question.smallest_effect,
        mean_a=one.share,
        mean_b=two.share,
        **_improvement(a, b, question),
        imputed=imputed,
        most_failed=False,
        rescaled="",
        p=p,
        p_equivalence=None if question.smallest_effect is None else max(test[1] for test in tests),
        p_sign=p,
    )


def _rates(sides: Sides) -> tuple[events.Rate, events.Rate]:
    one, two = (events.rate(round(math.fsum(side)), len(side)) for side in sides)
    return one, two


def _event_tests(one: events.Rate, two: events.Rate, seen: float, question: Question) -> tuple[float, float]:
    """The p of a difference in the direction that is seen, and of equivalence."""
    times = max(1, len(question.looks))
    agrees = (one.share - two.share) * seen > 0
    p = events.p_value(one.count, one.n, two.count, two.n) if agrees else 1.0
    margin = question.smallest_effect
    same = 1.0 if margin is None else events.equivalence_p(one.count, one.n, two.count, two.n, margin)
    return min(1.0, times * p), min(1.0, times * same)


def _tests(
    sides: Sequence[tuple[np.ndarray, np.ndarray]], margin: float | None, question: Question
) -> tuple[float | None, float | None, float | None]:
    """The p of a difference, of equivalence and of the exact test: the largest over all versions of the sides.

    A difference must have the sign that it has on the first. None for fewer than two values of a side on the first.
    """
    if min(map(len, sides[0])) < 2:
        return None, None, None
    design, looks = question.design, question.looks
    sign = np.sign(design.difference(*sides[0]).point)
    found = []
    for x, y in sides:
        difference = design.difference(x, y)
        exact = min(1.0, max(1, len(looks)) * design.exact_p(x, y, question.gap))
        # Without spread the t test is the exact one, and nothing is known of how far apart other seeds would lie.
        p = exact if difference.sd == 0 else sequential.calibrated(difference.beyond_p(question.gap), looks)
        p, exact = (p, exact) if np.sign(difference.point) == sign else (1.0, 1.0)
        same = 1.0 if margin is None or question.unresolved else difference.within_p(margin - question.gap)
        found.append((p, sequential.calibrated(same, looks, one_sided=True), exact))
    p, same, exact = (max(column) for column in zip(*found, strict=True))
    return p, None if margin is None else same, exact


def _improvement(a: Scores, b: Scores, question: Question) -> dict[str, Any]:
    """The share of pairs in which a is better, ties by half; in its exact interval a tie may be either.

    Of independent sides there is no exact interval.
    """
    gains = [(other - own) * (1 if question.better == "lower" else -1) for own, other in question.design.duels(a, b)]
    won, tied, n = sum(gain > 0 for gain in gains), sum(gain == 0 for gain in gains), len(gains)
    return {
        "improvement": (won + tied / 2) / n,
        "improvement_low": events.rate(won, n).low if question.design.paired else None,
        "improvement_high": events.rate(won + tied, n).high if question.design.paired else None,
    }
