"""What Table 1 could not show: each framework's score over five learning rates and two optimisers, and its tuning.

Source: the paper, section 4.3, whose claim ("stable when the rate is halved or doubled") rests on three runs. The
matched study's runs on centred images and those of the study of outer rates are one surface. A run that diverged counts
with the score of its last finite state, and is counted.

Elasticity: by how many doublings the score changes when the rate doubles. It is the slope of log2 score over log2 rate.
A score that is worse at both ends than in the middle has no slope and is not stable, so there is also the bend: the
mean of log2 score at the two outermost rates less that at the paper's own rate, per doubling that lies between. Both
are contrasts of the claims engine; `triptych.claims.judging.stability` has the rule of the verdict. The margin is 0.1:
7 % per doubling. The paper speaks of half to double; all five rates are shown as well.

Tuning: ten settings per framework, five rates by two optimisers, the same budget for all. The setting is chosen by its
mean Fréchet distance to validation images. Its test value is that of a tuned side of a claim: for each seed, the
setting that the other seeds' validation chooses. These values share runs in their choices, so their interval is
slightly too narrow."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from triptych.claims.contrasts import PartSpec, Side, contrast, mean_score
from triptych.claims.judging import stability
from triptych.claims.quantities import Quantity, value
from triptych.claims.results import Results
from triptych.directory import RunRecord
from triptych.text import finite
from triptych.verdicts import stats
from triptych.verdicts.stats import Estimate

STUDIES = ("matched", "rates")
FRAMEWORKS = ("vae", "gan", "vaegan")
OPTIMISERS = ("Adam", "RMSprop")
PAPER_RATE = 0.0003
PAPER = {"optimiser.name": OPTIMISERS[0], "optimiser.rate": PAPER_RATE, "training.translate": 0.0}
"""The paper's setting, on centred images."""
OWN = (0.00015, 0.0003, 0.0006)
"""The paper's range: half its rate to double."""
RATES = (0.000075, *OWN, 0.0012)
MARGIN = 0.1

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
    verdict: str
    margin: float = MARGIN


@dataclass(frozen=True)
class Tuned:
    """The setting that validation chooses out of `settings`, and what choosing so gives on test images.

    `test` is cross-fitted, `gain` the tuned value less that of the paper's setting (Adam, 0.0003), paired by seed.
    """

    framework: str
    optimiser: str
    rate: float
    settings: int
    validation: float
    test: Estimate | None
    gain: Estimate | None


def side(framework: str, optimiser: str, *rates: float) -> Side:
    """A framework's matched runs on centred images at these rates."""
    studies = dict.fromkeys("matched" if rate in OWN else "rates" for rate in rates)
    at = {"training.translate": 0.0, "optimiser.name": optimiser, "optimiser.rate": rates}
    return Side(framework=framework, study=tuple(studies), at=at)


def part(statement: str, quantity: Quantity, a: Side, b: Side | None = None, **given: Any) -> PartSpec:
    """A comparison as a part of a claim."""
    return PartSpec(protocol="matched", statement=statement, quantity=quantity, a=a, b=b, **given)


def centred(results: Results, framework: str, *setting: Any) -> list[RunRecord]:
    """The runs of a framework on centred images in both studies, at an optimiser and a rate or at all."""
    at = {"training.translate": 0.0, **dict(zip(("optimiser.name", "optimiser.rate"), setting, strict=False))}
    return results.where(STUDIES, framework, at)


def settings(results: Results, framework: str) -> list[Setting]:
    """The optimisers and rates that a framework has runs at, in order."""
    return sorted(
        {(run.setting("optimiser.name"), run.setting("optimiser.rate")) for run in centred(results, framework)}
    )


def surface(results: Results, quantity: Quantity) -> list[Point]:
    """A point for every setting that has runs."""
    cells = ((f, setting) for f in FRAMEWORKS for setting in settings(results, f))
    return [_point(f, setting, centred(results, f, *setting), quantity) for f, setting in cells]


def _point(framework: str, setting: Setting, runs: list[RunRecord], quantity: Quantity) -> Point:
    scores = [x for run in runs if (x := value(quantity, run).value) is not None]
    collapses = [x for run in runs if (x := finite(run.scores.get("collapsed", {}).get("value"))) is not None]
    return Point(
        framework=framework,
        optimiser=setting[0],
        rate=setting[1],
        estimate=stats.mean(scores) if scores else None,
        n=len(runs),
        diverged=sum(run.status == "diverged" for run in runs),
        collapsed=round(sum(collapses)) if collapses else None,
    )


def elasticities(results: Results, quantity: Quantity) -> list[Elasticity]:
    """For every framework and optimiser, over the paper's own range and over all five rates; scores are positive."""
    return [
        _elasticity(results, quantity, framework, optimiser, rates)
        for framework, optimiser, rates in itertools.product(FRAMEWORKS, OPTIMISERS, (OWN, RATES))
        if all(centred(results, framework, optimiser, rate) for rate in rates)
    ]


def _elasticity(
    results: Results, quantity: Quantity, framework: str, optimiser: str, rates: tuple[float, ...]
) -> Elasticity:
    ends, middle = side(framework, optimiser, rates[0], rates[-1]), side(framework, optimiser, PAPER_RATE)
    whole = side(framework, optimiser, *rates)
    slope = contrast(part("slope", quantity, whole, per_doubling="optimiser.rate", scale="log2"), results)
    bend = contrast(part("bend", quantity, ends, middle, scale="log2"), results)
    doublings = math.log2(rates[-1] / rates[0]) / 2
    slopes, bends = list(slope.values.values()), [bend.values[seed] / doublings for seed in slope.values]
    return Elasticity(
        framework=framework,
        optimiser=optimiser,
        low=rates[0],
        high=rates[-1],
        estimate=stats.mean(slopes) if slopes else None,
        bend=stats.mean(bends) if bends else None,
        left_out=sum(slope.left_out.values()),
        verdict=stability(slopes, bends, MARGIN),
    )


def tuned(results: Results, metric: str = "frechet_distance") -> list[Tuned]:
    """For each framework the setting that its mean validation score chooses, and its cross-fitted test value."""
    return [best for framework in FRAMEWORKS if (best := _tuned(results, framework, Quantity(metric=metric)))]


def _tuned(results: Results, framework: str, quantity: Quantity) -> Tuned | None:
    runs = {s: {run.seed: run for run in centred(results, framework, *s)} for s in settings(results, framework)}
    seeds = sorted({seed for own in runs.values() for seed in own})
    means = {setting: mean_score(own, seeds, results.selection) for setting, own in runs.items()}
    best = min(means, key=lambda setting: means[setting], default=None)
    if best is None or math.isinf(means[best]):
        return None  # no setting has been scored at every seed
    chosen = Side(framework=framework, study=STUDIES, at={"training.translate": 0.0}, tuned=True)
    test = contrast(part("tuned", quantity, chosen), results).values.values()
    gain = contrast(part("gain", quantity, chosen, side(framework, OPTIMISERS[0], PAPER_RATE)), results).values.values()
    return Tuned(
        framework=framework,
        optimiser=best[0],
        rate=best[1],
        settings=len(runs),
        validation=means[best],
        test=stats.mean(list(test)) if test else None,
        gain=stats.mean(list(gain)) if gain else None,
    )
