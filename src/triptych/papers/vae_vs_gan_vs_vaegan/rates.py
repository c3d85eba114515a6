"""What Table 1 could not show: each framework's score over five learning rates and two optimisers, and its tuning.

Source: the paper, section 4.3, whose claim ("stable when the rate is halved or doubled") rests on three runs. The
matched study's runs on centred images and those of the study of outer rates form one surface. A run that diverged
counts with the score of its last finite state, and is counted.

Elasticity: the slope of log2 score over log2 rate by least squares, one line a seed, then a t interval over seeds: by
how many doublings the score changes when the rate doubles. A score that is worse at both ends than in the middle has
no slope and is not stable, so the bend is judged, too: the mean of log2 score at the two outermost rates less that at
the paper's own rate, for each doubling that lies between. The verdict:

    "stable"      slope and bend both lie within the margin: two one-sided tests each, p < 0.05 (both must pass, which
                  needs no adjustment);
    "not stable"  slope or bend lies beyond the margin, and differs from 0 by a t test (p < 0.05 after Holm over the
                  two);
    "undecided"   neither.

The margin is 0.1: 7 % a doubling. The paper speaks of half to double; all five rates stand beside it.

Tuning: ten settings a framework, five rates by two optimisers, the same budget for all. The setting is chosen by its
mean Frechet distance to validation images. Its test value is cross-fitted: for each seed, the setting that the other
seeds' validation chooses; so no run has a hand in being chosen. These values share runs in their choices, so that
their interval is slightly too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from triptych.claims.contrasts import VALIDATION, cross_fitted
from triptych.claims.quantities import Quantity, value
from triptych.claims.results import Results, RunRecord
from triptych.text import finite
from triptych.verdicts import stats
from triptych.verdicts.stats import Estimate

STUDIES = ("matched", "rates")
FRAMEWORKS = ("vae", "gan", "vaegan")
OPTIMISERS = ("Adam", "RMSprop")
PAPER_RATE = 0.0003
OWN = (0.00015, 0.0003, 0.0006)
"""The paper's range: half its rate to double."""
RATES = (0.000075, *OWN, 0.0012)
MARGIN = 0.1
ALPHA = 0.05

Setting = tuple[str, float]


@dataclass(frozen=True)
class Point:
    """One setting of one framework: its score over seeds, and of its `n` runs those that diverged or collapsed.

    The estimate is None without a score; `collapsed` is None where no run says it.
    """

    framework: str
    optimiser: str
    rate: float
    estimate: Estimate | None
    n: int
    diverged: int
    collapsed: int | None


@dataclass(frozen=True)
class Elasticity:
    """Change of log2 score per doubling of the rate between `low` and `high`, and how much worse the ends are.

    `left_out` seeds lack a positive score at one of the rates.
    """

    framework: str
    optimiser: str
    low: float
    high: float
    estimate: Estimate | None
    bend: Estimate | None
    left_out: int
    verdict: Literal["stable", "not stable", "undecided"]
    margin: float = MARGIN


@dataclass(frozen=True)
class Tuned:
    """The setting that validation chooses out of `settings`, and what choosing so gives on test images.

    `test` is cross-fitted, `picks` the setting that was chosen for each seed, and `gain` the tuned value less that of
    the paper's setting (Adam, 0.0003), paired by seed.
    """

    framework: str
    optimiser: str
    rate: float
    settings: int
    validation: float
    test: Estimate | None
    gain: Estimate | None
    picks: tuple[Setting, ...]


def centred(
    results: Results, framework: str, optimiser: str | None = None, rate: float | None = None
) -> list[RunRecord]:
    """The runs of a framework on centred images in both studies, at a setting or at all."""
    at = {"training.translate": 0.0, "optimiser.name": optimiser, "optimiser.rate": rate}
    return results.where(STUDIES, framework, {name: x for name, x in at.items() if x is not None})


def settings(results: Results, framework: str) -> list[Setting]:
    """The optimisers and rates that a framework has runs at, in order."""
    return sorted({_setting(run) for run in centred(results, framework)})


def surface(results: Results, quantity: Quantity) -> list[Point]:
    """A point for every setting that has runs."""
    return [
        _point(framework, setting, centred(results, framework, *setting), quantity)
        for framework in FRAMEWORKS
        for setting in settings(results, framework)
    ]


def _point(framework: str, setting: Setting, runs: list[RunRecord], quantity: Quantity) -> Point:
    scores = list(_values(runs, quantity).values())
    collapses = [x for run in runs if (x := finite(run.scores.get("collapsed", {}).get("value"))) is not None]
    return Point(
        framework,
        *setting,
        stats.mean(scores) if scores else None,
        len(runs),
        sum(run.status == "diverged" for run in runs),
        round(sum(collapses)) if collapses else None,
    )


def _values(runs: Iterable[RunRecord], quantity: Quantity) -> dict[int, float]:
    """The quantity by seed, of the runs that have it."""
    return {run.seed: x for run in runs if (x := value(quantity, run).value) is not None}


def elasticities(results: Results, quantity: Quantity) -> list[Elasticity]:
    """For every framework and optimiser, over the paper's own range and over all five rates; scores are positive."""
    return [
        _elasticity(results, quantity, framework, optimiser, rates)
        for framework in FRAMEWORKS
        for optimiser in OPTIMISERS
        for rates in (OWN, RATES)
        if all(centred(results, framework, optimiser, rate) for rate in rates)
    ]


def _elasticity(
    results: Results, quantity: Quantity, framework: str, optimiser: str, rates: tuple[float, ...]
) -> Elasticity:
    columns = [_values(centred(results, framework, optimiser, rate), quantity) for rate in rates]
    seeds = {run.seed for rate in rates for run in centred(results, framework, optimiser, rate)}
    whole = [seed for seed in sorted(seeds) if all(column.get(seed, 0.0) > 0 for column in columns)]
    if not whole:
        return Elasticity(
            framework=framework,
            optimiser=optimiser,
            low=rates[0],
            high=rates[-1],
            estimate=None,
            bend=None,
            left_out=len(seeds),
            verdict="undecided",
        )
    scores = np.log2([[column[seed] for column in columns] for seed in whole])
    doublings = np.log2(rates)
    slopes = np.polyfit(doublings, scores.T, 1)[0]
    way = (doublings[-1] - doublings[0]) / 2
    bends = (scores[:, [0, -1]].mean(1) - scores[:, rates.index(PAPER_RATE)]) / way
    return Elasticity(
        framework=framework,
        optimiser=optimiser,
        low=rates[0],
        high=rates[-1],
        estimate=stats.mean(slopes),
        bend=stats.mean(bends),
        left_out=len(seeds) - len(whole),
        verdict=judged(slopes, bends),
    )


def judged(
    slopes: np.ndarray, bends: np.ndarray, margin: float = MARGIN
) -> Literal["stable", "not stable", "undecided"]:
    """The verdict on slopes [n] and bends [n], by the rule above."""
    zero = np.zeros(len(slopes))
    same = [stats.equivalence_p(x, zero, margin) for x in (slopes, bends)]
    if all(p is not None and p < ALPHA for p in same):
        return "stable"
    differs = stats.holm([1.0 if (p := stats.paired(x, zero).p) is None else p for x in (slopes, bends)])
    beyond = (abs(slopes.mean()) > margin, abs(bends.mean()) > margin)
    if any(p < ALPHA and far for p, far in zip(differs, beyond, strict=True)):
        return "not stable"
    return "undecided"


def tuned(results: Results, metric: str = "frechet_distance") -> list[Tuned]:
    """For each framework the setting that its mean validation score chooses, and its cross-fitted test value."""
    chosen = [_tuned(results, framework, metric) for framework in FRAMEWORKS]
    return [each for each in chosen if each]


def _tuned(results: Results, framework: str, metric: str) -> Tuned | None:
    grid = {s: centred(results, framework, *s) for s in settings(results, framework)}
    validation = {s: _values(runs, Quantity(metric=VALIDATION)) for s, runs in grid.items()}
    seeds = sorted({seed for values in validation.values() for seed in values})
    if not seeds:
        return None
    best = _choice(validation, seeds)
    if math.isinf(_mean(validation[best], seeds)):
        return None  # no setting has been scored at every seed
    fitted = cross_fitted(centred(results, framework))
    values, picks = _values(fitted, Quantity(metric=metric)), [_setting(run) for run in fitted]
    untuned = _values(grid.get((OPTIMISERS[0], PAPER_RATE), []), Quantity(metric=metric))
    common = [seed for seed in values if seed in untuned]
    gain = stats.paired([values[s] for s in common], [untuned[s] for s in common]).difference if common else None
    return Tuned(
        framework,
        *best,
        len(grid),
        _mean(validation[best], seeds),
        stats.mean(list(values.values())) if values else None,
        gain,
        tuple(picks),
    )


def _setting(run: RunRecord) -> Setting:
    return run.field("optimiser.name"), run.field("optimiser.rate")


def _choice(validation: dict[Setting, dict[int, float]], seeds: list[int]) -> Setting:
    """The setting of the lowest mean over these seeds; one that lacks a seed's score has failed and is not chosen."""
    return min(validation, key=lambda setting: _mean(validation[setting], seeds))


def _mean(values: dict[int, float], seeds: list[int]) -> float:
    return float(np.mean([values.get(seed, math.inf) for seed in seeds]))
