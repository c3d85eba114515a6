"""Which optimiser trains faster: the images, and the seconds, until a stated score is reached.

Source: the paper, section 4.2 ("Adam trains faster than RMSprop"), judged there from final losses. A time to a stated
score is DAWNBench's question (Coleman et al. 2017). Scores are those of the curves over training, on centred images.

The stated score is fixed by a rule that does not know who wins: for each framework, rate and score, the median of the
last values of all runs of both optimisers together. A mean would not do, for one collapsed run would set it so high
that everyone reaches it at once.

When a run reaches it, `quantities` says; a run that is there at the first moment looked at counts
with that moment (`early`). A run that never gets there, or diverged on the way, is censored at the budget, which all
runs share: so the Kaplan-Meier curve is the empirical one, and the restricted mean time is the mean of the smaller of
time and budget. Seconds depend on the machine and what else it did.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

from triptych.claims.quantities import Quantity, Value, points, value
from triptych.papers.vae_vs_gan_vs_vaegan.rates import FRAMEWORKS, OPTIMISERS, centred, settings
from triptych.claims.results import Results
from triptych.text import count, duration, number
from triptych.verdicts import stats
from triptych.verdicts.stats import Estimate, Paired
from triptych.verdicts.wording import display

SCORES = ("frechet_convergence", "mse_convergence")
LABELS = {"frechet_convergence": "Fréchet distance", "mse_convergence": "reconstruction MSE"}
ALPHA = 0.05

Unit = Literal["images", "seconds"]
Key = tuple[str, float, str]
"""Framework, rate, score."""


@dataclass(frozen=True)
class Time:
    """The restricted mean time of one optimiser to the target, over `of` runs, of which `reached` got there."""

    framework: str
    optimiser: str
    rate: float
    score: str
    target: float
    images: Estimate
    seconds: Estimate | None
    reached: int
    early: int
    of: int


@dataclass(frozen=True)
class Comparison:
    """Adam's restricted time less RMSprop's, paired by seed; `p` is adjusted by Holm over one score and unit."""

    framework: str
    rate: float
    score: str
    unit: Unit
    target: float
    difference: Estimate
    p: float | None
    reached: tuple[int, int]
    verdict: Literal["Adam is faster", "RMSprop is faster", "undecided"]
    sentence: str


def targets(results: Results) -> dict[Key, float]:
    """The stated score of every framework, rate and score that both optimisers have curves of."""
    found = {}
    for framework in FRAMEWORKS:
        for rate in sorted({rate for _, rate in settings(results, framework)}):
            for score in SCORES:
                runs = [centred(results, framework, optimiser, rate) for optimiser in OPTIMISERS]
                ends = [[c[-1][1] for run in each if (c := points(score, run))] for each in runs]
                if all(ends):
                    found[framework, rate, score] = statistics.median([*ends[0], *ends[1]])
    return found


def _reaches(results: Results, key: Key, optimiser: str, target: float, unit: Unit) -> dict[int, Value]:
    """When each seed's run reached the target, of the runs that have such a time."""
    framework, rate, score = key
    asked = Quantity(curve=score, reach=target, unit=unit)
    found = {run.seed: value(asked, run) for run in centred(results, framework, optimiser, rate)}
    return {seed: time for seed, time in found.items() if time.value is not None}


def times(results: Results) -> list[Time]:
    """The restricted mean times of every framework, rate, score and optimiser that has a target."""
    return [
        _time(results, key, optimiser, target) for key, target in targets(results).items() for optimiser in OPTIMISERS
    ]


def _time(results: Results, key: Key, optimiser: str, target: float) -> Time:
    framework, rate, score = key
    images, seconds = (_reaches(results, key, optimiser, target, unit) for unit in ("images", "seconds"))
    curves = [points(score, run) for run in centred(results, framework, optimiser, rate)]
    return Time(
        framework=framework,
        optimiser=optimiser,
        rate=rate,
        score=score,
        target=target,
        images=stats.mean(_numbers(images)),
        seconds=stats.mean(_numbers(seconds)) if seconds else None,
        reached=sum(not time.censored for time in images.values()),
        early=sum(bool(curve) and curve[0][1] <= target for curve in curves),
        of=len(images),
    )


def _numbers(found: dict[int, Value]) -> list[float]:
    return [time.value for time in found.values() if time.value is not None]


def comparisons(results: Results, unit: Unit = "images") -> list[Comparison]:
    """Adam against RMSprop at every framework, rate and score, with Holm over the comparisons of one score."""
    goals, found = targets(results), []
    for score in SCORES:
        pairs = {key: pair for key in goals if key[2] == score and (pair := _pair(results, key, goals[key], unit))}
        adjusted = stats.holm([1.0 if pair[0].p is None else pair[0].p for pair in pairs.values()])
        for (key, (paired, reached)), p in zip(pairs.items(), adjusted, strict=True):
            found.append(_comparison(key, goals[key], unit, paired, reached, float(p)))
    return found


def _pair(results: Results, key: Key, target: float, unit: Unit) -> tuple[Paired, tuple[int, int]] | None:
    """The paired difference of both optimisers and how many runs of each got there; None without a pair."""
    adam, rmsprop = (_reaches(results, key, optimiser, target, unit) for optimiser in OPTIMISERS)
    seeds = [seed for seed in adam if seed in rmsprop]
    if not seeds:
        return None
    both = [{seed: each[seed] for seed in seeds} for each in (adam, rmsprop)]
    reached = [sum(not time.censored for time in each.values()) for each in both]
    return stats.paired(_numbers(both[0]), _numbers(both[1])), (reached[0], reached[1])


def _comparison(key: Key, target: float, unit: Unit, paired: Paired, reached: tuple[int, int], p: float) -> Comparison:
    framework, rate, score = key
    d, told = paired.difference, duration if unit == "seconds" else _images
    verdict: Literal["Adam is faster", "RMSprop is faster", "undecided"] = "undecided"
    if p < ALPHA and d.point:
        verdict = "Adam is faster" if d.point < 0 else "RMSprop is faster"
    way = "fewer" if d.point < 0 else "more"
    sentence = (
        f"{display(framework)} at rate {rate:g}: with Adam {reached[0]} and with RMSprop {reached[1]} of "
        f"{count(d.n, 'run')} come down to a {LABELS[score]} of {number(target, 3)}; the rest count "
        f"with their budget, so Adam takes {told(abs(d.point))} {way} than RMSprop{_interval(d, unit, p)}: {verdict}."
    )
    return Comparison(
        framework=framework,
        rate=rate,
        score=score,
        unit=unit,
        target=target,
        difference=d,
        p=None if d.low is None else p,
        reached=reached,
        verdict=verdict,
        sentence=sentence,
    )


def _images(value: float) -> str:
    return f"{number(round(value))} images"


def _interval(d: Estimate, unit: Unit, p: float) -> str:
    """The interval of a difference and its adjusted p, in brackets; empty without an interval."""
    if d.low is None or d.high is None:
        return ""
    low, high = ((f"{x:.3g}" if unit == "seconds" else number(round(x))) for x in (d.low, d.high))
    return f" (Adam less RMSprop: 95 % interval {low} to {high} {unit}; p = {p:.2g} after Holm)"
