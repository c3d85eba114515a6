"""What Table 1 could not show: each framework's score over five learning rates and two optimisers, and its tuning.

Source: the paper, section 4.3, whose claim ("stable when the rate is halved or doubled") rests on three runs. The
matched study's runs on centred images and those of the study of outer rates are one surface. A run that diverged counts
with the score of its last finite state, and is counted.

Elasticity: by how many doublings the score changes when the rate doubles. It is the slope of log2 score over log2 rate.
A score that is worse at both ends than in the middle has no slope and is not stable, so there is also the bend: the
mean of log2 score at the two outermost rates less that at the paper's own rate, per doubling that lies between. Both
are parts as claims have them: "equivalent" within a margin of 0.1, 7 % per doubling. So a verdict of "not stable" rests
on a test against the margin, as one of "stable" does, and a slope that a claim has tested (C4) is the claim's part. The
paper speaks of half to double; all five rates are shown as well.

Tuning: ten settings per framework, five rates by two optimisers, the same budget for all. The setting is chosen by its
mean Fréchet distance to validation images. Its test value is that of a tuned side of a claim: for each seed, the
setting that the other seeds' validation chooses. These values share runs in their choices, so their interval is
slightly too narrow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from triptych.claims.judging import Part, judge_parts, judge_table
from triptych.claims.quantities import Quantity, value
from triptych.claims.results import Results
from triptych.claims.spec import PartSpec, Side
from triptych.claims.tuning import best_setting, mean_score
from triptych.directory import RunRecord
from triptych.text import finite
from triptych.verdicts import scales
from triptych.verdicts.stats import Estimate
from triptych.verdicts.wording import display

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
SURFACE = Quantity(metric="frechet_distance")
"""The score whose response to the rate is shown."""

Setting = tuple[str, float]


@dataclass(frozen=True)
class Point:
    """One setting of one framework: its score over seeds, and of its `n` runs those that diverged or collapsed.

    The estimate is a geometric mean over all runs, failed ones included, as a setting gives them. It is None without a
    score; `collapsed` is None where no run says it.
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

    `doublings` lie between the paper's rate and either end. Parts as claims have them: a part that a claim has tested
    already is the claim's.
    """

    framework: str
    optimiser: str
    low: float
    high: float
    slope: Part
    bend: Part
    doublings: float
    margin: float = MARGIN

    @property
    def verdict(self) -> Literal["stable", "not stable", "undecided"]:
        """Stable if slope and bend are shown to be within the margin, not stable if one is shown to be beyond it."""
        verdicts = {self.slope.verdict, self.bend.verdict}
        if "contradicted" in verdicts:
            return "not stable"
        return "stable" if verdicts == {"supported"} else "undecided"

    @property
    def slope_estimate(self) -> Estimate | None:
        """Doublings of the score per doubling of the rate."""
        return _per_doubling(self.slope, 1.0)

    @property
    def bend_estimate(self) -> Estimate | None:
        """Doublings of the score at the ends, per doubling of the rate that lies between."""
        return _per_doubling(self.bend, self.doublings)


def _per_doubling(part: Part, doublings: float) -> Estimate | None:
    if part.estimate is None:
        return None
    low, high = (None if x is None else x / doublings for x in (part.low, part.high))
    return Estimate(point=part.estimate / doublings, low=low, high=high, n=part.n)


@dataclass(frozen=True)
class Tuned:
    """The setting that validation chooses out of `settings`, and what choosing so gives on test images.

    `test` is cross-fitted, `gain` the tuned value over that of the paper's setting (Adam, 0.0003), paired by seed.
    """

    framework: str
    optimiser: str
    rate: float
    settings: int
    validation: float
    test: Part
    gain: Part


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


def surface(results: Results, quantity: Quantity = SURFACE) -> list[Point]:
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
        estimate=scales.mean("factor", scores) if scores else None,
        n=len(runs),
        diverged=sum(run.status == "diverged" for run in runs),
        collapsed=round(sum(collapses)) if collapses else None,
    )


def elasticities(results: Results, known: Iterable[Part] = ()) -> list[Elasticity]:
    """For every framework and optimiser, over the paper's own range and over all five rates; scores are positive.

    Each range is one table, whose rows are one family; `known` are the parts of claims.
    """
    known, found = list(known), list[Elasticity]()
    for name, rates in (("Elasticity, paper's range", OWN), ("Elasticity, five rates", RATES)):
        cells = [
            (framework, optimiser)
            for framework, optimiser in itertools.product(FRAMEWORKS, OPTIMISERS)
            if all(centred(results, framework, optimiser, rate) for rate in rates)
        ]
        specs = [spec for cell in cells for spec in _slope_and_bend(*cell, rates)]
        parts = judge_table(name, specs, results, known)
        for (framework, optimiser), (slope, bend) in zip(cells, zip(parts[::2], parts[1::2], strict=True), strict=True):
            row = Elasticity(
                framework=framework,
                optimiser=optimiser,
                low=rates[0],
                high=rates[-1],
                slope=slope,
                bend=bend,
                doublings=_doublings(rates),
            )
            found.append(row)
    return sorted(found, key=lambda row: (FRAMEWORKS.index(row.framework), OPTIMISERS.index(row.optimiser)))


def _doublings(rates: tuple[float, ...]) -> float:
    return round(math.log2(rates[-1] / rates[0])) / 2


def _slope_and_bend(framework: str, optimiser: str, rates: tuple[float, ...]) -> tuple[PartSpec, PartSpec]:
    """The slope over these rates, and the ends against the paper's rate: neither, if the score is stable."""
    name, margin = f"{display(framework)}, {optimiser}, {rates[0]:g} to {rates[-1]:g}", MARGIN * _doublings(rates)
    whole = side(framework, optimiser, *rates)
    ends, middle = side(framework, optimiser, rates[0], rates[-1]), side(framework, optimiser, PAPER_RATE)
    given: dict[str, Any] = {"scale": "log2", "expects": "equivalent"}
    return (
        part(f"{name}: slope", SURFACE, whole, per_doubling="optimiser.rate", margin=MARGIN, **given),
        part(f"{name}: ends against the middle", SURFACE, ends, middle, margin=margin, **given),
    )


def tuned(results: Results, metric: str = "frechet_distance") -> list[Tuned]:
    """For each framework the setting that its mean validation score chooses, and its cross-fitted test value."""
    return [best for framework in FRAMEWORKS if (best := _tuned(results, framework, Quantity(metric=metric)))]


def _tuned(results: Results, framework: str, quantity: Quantity) -> Tuned | None:
    runs = {s: {run.seed: run for run in centred(results, framework, *s)} for s in settings(results, framework)}
    seeds = sorted({seed for own in runs.values() for seed in own})
    means = {setting: mean_score(own, seeds, results.selection) for setting, own in runs.items()}
    best = best_setting(means, results.outputs[results.selection].better)
    if best is None:
        return None  # no setting has been scored at every seed
    chosen = Side(framework=framework, study=STUDIES, at={"training.translate": 0.0}, tuned=True)
    specs = [
        part("The tuned setting.", quantity, chosen),
        part("The tuned setting against the paper's.", quantity, chosen, side(framework, OPTIMISERS[0], PAPER_RATE)),
    ]
    test, gain = judge_parts("Tuned", specs, results)
    return Tuned(
        framework=framework,
        optimiser=best[0],
        rate=best[1],
        settings=len(runs),
        validation=means[best] or math.nan,
        test=test,
        gain=gain,
    )
