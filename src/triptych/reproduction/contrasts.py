"""What a part of a claim compares, and its value for every seed.

Every part is a paired linear combination. A side is a set of runs; for each seed it has the mean of a quantity over its
runs, or, `per_doubling` of a field of the spec such as the learning rate, the slope of the quantity over log2 of that
field by least squares. A part is a - b, or (a - b) - (c - d), an interaction; or the slope of a alone. On the scale
"log2" quantities enter by their logarithms, so that differences are ratios and slopes elasticities.

A seed enters only with all of its runs and all of their values; the others are left out, counted, with the reason.

`tuned`: for each seed the setting (optimiser and rate) that is best by `validation_frechet` in the mean over the other
seeds, so that no run has a hand in being chosen. A setting that lacks one of these scores has failed and is not chosen.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from triptych.reproduction import quantities
from triptych.reproduction.quantities import Quantity
from triptych.reproduction.results import Results, RunRecord
from triptych.spec import Frozen

VALIDATION = "validation_frechet"
SETTING = ("optimiser.name", "optimiser.rate")
STUDY = {"matched": "matched", "as published": "as_published"}
Expectation = Literal["lower", "higher", "equivalent", "not lower", "not higher"]
WITHIN = ("equivalent", "not lower", "not higher")
"""Expectations that mean nothing without a margin."""


class Side(Frozen):
    """Runs: of one or more frameworks and studies, with the values that `at` gives to dotted fields of their specs.

    Without a study: that of the part's protocol; with `tuned`, those that vary the rate. `quantity` replaces the
    part's.
    """

    framework: str | tuple[str, ...]
    study: str | tuple[str, ...] | None = None
    at: dict[str, Any] = {}
    tuned: bool = False
    quantity: Quantity | None = None

    @field_validator("at", mode="before")
    @classmethod
    def _dotted(cls, at: Any) -> Any:
        return dotted(at) if isinstance(at, dict) else at

    @property
    def frameworks(self) -> tuple[str, ...]:
        return (self.framework,) if isinstance(self.framework, str) else self.framework

    @property
    def studies(self) -> tuple[str, ...]:
        return (self.study,) if isinstance(self.study, str) else self.study or ()


class PartSpec(Frozen):
    """One comparison of a claim and what the claim makes one expect of it; without `expects` it is only measured.

    `at` holds for all sides, under what they say themselves. `margin` is the smallest effect that matters, on the
    part's scale; by default the metric's own where the scale is the metric's. `seeds` is the fewest that it needs.
    """

    protocol: Literal["matched", "as published"]
    statement: str = Field(min_length=1)
    quantity: Quantity | None = None
    at: dict[str, Any] = {}
    a: Side
    b: Side | None = None
    c: Side | None = None
    d: Side | None = None
    per_doubling: str | None = None
    scale: Literal["identity", "log2"] = "identity"
    expects: Expectation | None = None
    margin: float | None = Field(default=None, gt=0)
    seeds: int = Field(default=2, ge=1)

    @field_validator("at", mode="before")
    @classmethod
    def _dotted(cls, at: Any) -> Any:
        return dotted(at) if isinstance(at, dict) else at

    @model_validator(mode="after")
    def _whole(self) -> PartSpec:
        if (self.c is None) != (self.d is None) or (self.c is not None and self.b is None):
            raise ValueError("an interaction needs all of a, b, c and d")
        if self.b is None and self.per_doubling is None and self.expects is not None:
            raise ValueError("what is expected needs something to compare with: give b, or per_doubling")
        if any(side.quantity is None for side in self.sides):
            raise ValueError("a quantity is needed, for the part or for each of its sides")
        if self.expects in WITHIN and self.margin is None and not self.in_metrics_unit:
            raise ValueError(f"{self.expects!r} needs a margin on this scale")
        return self

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides with all that they take over from the part."""
        return tuple(self._resolved(side) for side in (self.a, self.b, self.c, self.d) if side is not None)

    @property
    def in_metrics_unit(self) -> bool:
        """Whether the part's values are differences in a metric's own unit."""
        return bool(self.metric) and self.scale == "identity" and self.per_doubling is None

    @property
    def metric(self) -> str:
        """The metric of the first side, empty where it is no metric."""
        return (self.sides[0].quantity.metric if self.sides[0].quantity else None) or ""

    @property
    def name(self) -> str:
        """The quantity, or the two that are compared."""
        return " less ".join(dict.fromkeys(side.quantity.name for side in self.sides if side.quantity))

    def _resolved(self, side: Side) -> Side:
        study = side.study or (("matched", "rates") if side.tuned else STUDY[self.protocol])
        own = {"study": study, "at": {**self.at, **side.at}, "quantity": side.quantity or self.quantity}
        return side.model_copy(update=own)


def dotted(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """{"a.b": value} from {"a": {"b": value}}."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= dotted(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


@dataclass(frozen=True)
class Contrast:
    """A part's value by seed, each side's own, why seeds are left out, and how many runs count with their budget.

    `absent` names what has no run at all, `goal` is the score whose reaching is timed, where one is.
    """

    values: dict[int, float]
    sides: tuple[dict[int, float], ...]
    left_out: dict[str, int]
    absent: tuple[str, ...]
    censored: int
    runs: int
    goal: float | None = None


def contrast(part: PartSpec, results: Results) -> Contrast:
    """A part's values from the runs that are there."""
    chosen = [(side, _runs(side, results)) for side in part.sides]
    goal = _goal(chosen)
    taken = [_by_seed(part, side, runs, goal) for side, runs in chosen]
    seeds = sorted({seed for _, runs in chosen for seed in (run.seed for run in runs)})
    whole = [seed for seed in seeds if all(seed in side.values for side in taken)]
    sides = tuple({seed: side.values[seed] for seed in whole} for side in taken)
    signs = (1, -1, -1, 1)
    return Contrast(
        {seed: sum(sign * side[seed] for sign, side in zip(signs, sides, strict=False)) for seed in whole},
        sides,
        dict(Counter(_why(seed, taken) for seed in seeds if seed not in whole)),
        tuple(dict.fromkeys(name for side in taken for name in side.absent)),
        sum(side.censored.get(seed, 0) for side in taken for seed in whole),
        sum(side.counted.get(seed, 0) for side in taken for seed in whole),
        goal,
    )


@dataclass(frozen=True)
class _Side:
    """One side by seed: its value or why there is none, its runs, and those of them that are censored."""

    absent: tuple[str, ...]
    values: dict[int, float]
    whys: dict[int, str]
    counted: dict[int, int]
    censored: dict[int, int]


def _why(seed: int, taken: Sequence[_Side]) -> str:
    whys = [side.whys.get(seed, "no run") for side in taken if seed not in side.values]
    return ", ".join(dict.fromkeys(whys))


def _runs(side: Side, results: Results) -> list[RunRecord]:
    runs = results.where(side.studies, side.frameworks, side.at)
    return cross_fitted(runs) if side.tuned else runs


def cross_fitted(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """For each seed its run of the setting that the other seeds' validation scores choose, if there are others."""
    table: dict[tuple[Any, ...], dict[int, RunRecord]] = defaultdict(dict)
    for run in runs:
        table[tuple(run.field(name) for name in SETTING)][run.seed] = run
    seeds = sorted({run.seed for run in runs})
    chosen = []
    for seed in seeds:
        others = [other for other in seeds if other != seed]
        means = {setting: _mean_validation(own, others) for setting, own in table.items()}
        best = min(means, key=lambda setting: means[setting])
        if math.isfinite(means[best]) and seed in table[best]:
            chosen.append(table[best][seed])
    return chosen


def _mean_validation(own: Mapping[int, RunRecord], seeds: Sequence[int]) -> float:
    """A setting's mean validation score over these seeds; infinite if one has none, or there are no seeds."""
    scores = [quantities.value(Quantity(metric=VALIDATION), own[seed]).value for seed in seeds if seed in own]
    told = [score for score in scores if score is not None]
    return math.fsum(told) / len(told) if seeds and len(told) == len(seeds) else math.inf


def _goal(chosen: Sequence[tuple[Side, list[RunRecord]]]) -> float | None:
    """The score to be reached: the one stated, or the median of the last values of all runs compared."""
    curves = [(side.quantity.curve, runs) for side, runs in chosen if side.quantity and side.quantity.curve]
    stated = [side.quantity.reach for side, _ in chosen if side.quantity and side.quantity.curve]
    if not stated or stated[0] != "median":
        return stated[0] if stated and isinstance(stated[0], float) else None
    last = [moments[-1][1] for curve, runs in curves for run in runs if (moments := quantities.points(curve, run))]
    return statistics.median(last) if last else None


def _by_seed(part: PartSpec, side: Side, runs: list[RunRecord], goal: float | None) -> _Side:
    quantity = side.quantity or Quantity(metric=VALIDATION)
    if quantity.reach == "median":
        quantity = quantity.model_copy(update={"reach": math.nan if goal is None else goal})
    cells = {_cell(run) for run in runs}
    there = {cell[:2] for cell in cells}
    absent = tuple(f"{f} in {s}" for s in side.studies for f in side.frameworks if (s, f) not in there)
    taken = _Side(absent, {}, {}, {}, {})
    if absent:
        return taken
    for seed in sorted({run.seed for run in runs}):
        own = [run for run in runs if run.seed == seed]
        found = [quantities.value(quantity, run) for run in own]
        told = [_scaled(part.scale, each.value) for each in found if each.value is not None]
        numbers = [x for x in told if x is not None]
        if not side.tuned and len({_cell(run) for run in own}) < len(cells):
            taken.whys[seed] = "a run is missing"
        elif len(told) < len(found):
            taken.whys[seed] = ", ".join(dict.fromkeys(each.why for each in found if each.value is None))
        elif len(numbers) < len(told):
            taken.whys[seed] = "a value is not positive and has no logarithm"
        else:
            taken.values[seed] = _reduced(part.per_doubling, own, numbers)
            taken.counted[seed], taken.censored[seed] = len(own), sum(each.censored for each in found)
    return taken


def _cell(run: RunRecord) -> tuple[str, str, str]:
    return run.study, run.framework, str(run.spec.get("condition", ""))


def _scaled(scale: str, x: float) -> float | None:
    if scale == "identity":
        return x
    return math.log2(x) if x > 0 else None


def _reduced(field: str | None, runs: Sequence[RunRecord], values: Sequence[float]) -> float:
    """The mean of values, or their least-squares slope over log2 of a field of the runs' specs."""
    if field is None:
        return math.fsum(values) / len(values)
    doublings = np.log2([float(run.field(field)) for run in runs])
    away = doublings - doublings.mean()
    return float(away @ np.asarray(values) / (away @ away))
