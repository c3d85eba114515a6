"""Which optimiser trains faster: the images, and the seconds, until a given score is reached.

Source: the paper, section 4.2 ("Adam trains faster than RMSprop"), judged there from final losses. Time to a given
score is the question of DAWNBench (Coleman et al. 2017). Scores are those of the curves over training, on centred
images.

Each row is a part as a claim has it: Adam against RMSprop by the time until a score is reached, on a log scale. The
score is the one that nine in ten of all runs of both optimisers end at or beat, failed ones aside: a rule that does not
depend on who wins, and nearly all runs get there. A row
that a claim has tested already (C3, at the paper's rate) is that claim's part, so it has one p-value. The others are
one family per score and unit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from triptych.claims.contrasts import contrast
from triptych.claims.judging import Part, judge_table
from triptych.claims.quantities import Quantity
from triptych.claims.results import Results
from triptych.claims.spec import PartSpec
from triptych.papers.vae_vs_gan_vs_vaegan.rates import FRAMEWORKS, OPTIMISERS, OWN, part, side
from triptych.verdicts import scales
from triptych.verdicts.stats import Estimate
from triptych.verdicts.wording import display

SCORES = ("frechet_convergence", "mse_convergence")
LABELS = {"frechet_convergence": "Fréchet distance", "mse_convergence": "reconstruction MSE"}
UNITS: tuple[Literal["images", "seconds"], ...] = ("images", "seconds")


@dataclass(frozen=True)
class Time:
    """The images that one optimiser takes to the target, a geometric mean; `reached` of `of` runs get there.

    Runs that never get there count with their budget. The runs are those that the part in the same row compares.
    """

    framework: str
    optimiser: str
    rate: float
    score: str
    target: float
    images: Estimate
    reached: int
    of: int


def _row(framework: str, rate: float, score: str, unit: Literal["images", "seconds"]) -> PartSpec:
    a, b = (side(framework, optimiser, rate) for optimiser in OPTIMISERS)
    goal = f"the {LABELS[score]} that nine in ten of their runs end at or beat"
    statement = f"{display(framework)} at {rate:g}, Adam against RMSprop by the {unit} until {goal}."
    quantity = Quantity(curve=score, reach="nearly all", unit=unit)
    return part(statement, quantity, a, b, scale="log2", expects="lower")


def rows(results: Results, known: Iterable[Part]) -> list[Part]:
    """Adam against RMSprop for every framework, rate, score and unit that both have curves of."""
    found = []
    for score, unit in itertools.product(SCORES, UNITS):
        specs = [_row(framework, rate, score, unit) for framework, rate in itertools.product(FRAMEWORKS, OWN)]
        specs = [spec for spec in specs if contrast(spec, results).values]
        found += judge_table(f"{LABELS[score]}, {unit}", specs, results, known)
    return found


def times(results: Results) -> list[Time]:
    """The times, in images, of every framework, rate, score and optimiser."""
    found = []
    for score, framework, rate in itertools.product(SCORES, FRAMEWORKS, OWN):
        both = contrast(_row(framework, rate, score, "images"), results)
        for place, optimiser in enumerate(OPTIMISERS if both.values and both.goal is not None else ()):
            values = [2**y for y in both.sides[place].values()]
            time = Time(
                framework=framework,
                optimiser=optimiser,
                rate=rate,
                score=LABELS[score],
                target=both.goal or 0.0,
                images=scales.mean("factor", values),
                reached=len(values) - both.censored[place],
                of=len(values),
            )
            found.append(time)
    return found
