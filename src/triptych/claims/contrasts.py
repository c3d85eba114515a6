"""What a part of a claim compares, and its value for every seed.

Every part is a paired linear combination. A side is a set of runs. For each seed its value is the mean of a quantity
over its runs or, with `per_doubling` of a field of the spec such as the learning rate, the least-squares slope of the
quantity over log2 of that field. A part is a - b, or (a - b) - (c - d), an interaction; or the slope of a alone. On the
scale "log2" quantities enter by their logarithms, so that differences are ratios and slopes are elasticities.

A seed enters only with all of the runs that the studies plan for it and all of their values. The other seeds are left
out and counted, with the reason. So a setting that was not run is not ignored.

`tuned`: for each seed the setting (optimiser and rate) that is best by `validation_frechet` in the mean over the other
seeds, so that no run helps to choose itself. A setting that lacks one of these scores has failed and is not chosen.
Seeds that lack a planned run neither choose nor count.
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

from triptych.claims import quantities
from triptych.claims.quantities import Quantity
from triptych.claims.results import Results, RunRecord, among, holds
from triptych.spec import Frozen
from triptych.text import condition_key

VALIDATION = "validation_frechet"
SETTING = ("optimiser.name", "optimiser.rate")
Expectation = Literal["lower", "higher", "equivalent", "not lower", "not higher"]
WITHIN = ("equivalent", "not lower", "not higher")
"""Expectations that mean nothing without a margin."""


class Protocol(Frozen):
    """Conditions under which parts are measured: where their runs are, and whether these parts decide the claim.

    `study` is that of a side that names none, `tuned_over` those of a tuned side; without both, the only study there
    is. `phrase` is how sentences name the protocol, such as "under matched conditions".
    """

    study: str | tuple[str, ...] | None = None
    tuned_over: str | tuple[str, ...] | None = None
    decides: bool = True
    phrase: str = ""


class Side(Frozen):
    """Runs: of one or more frameworks and studies, with the values that `at` gives to dotted fields of their specs.

    A list in `at` stands for any of its values. Without a study: that of the part's protocol. `quantity` replaces the
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
    """One comparison of a claim and what the claim predicts for it; without `expects` it is only measured.

    `at` holds for all sides; their own values come first. `margin` is the smallest effect that matters, on the part's
    scale; by default the metric's own where the scale is the metric's. `seeds` is the smallest number that it needs.
    """

    protocol: str = ""
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
    def _complete(self) -> PartSpec:
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

    @property
    def needs(self) -> tuple[str, ...]:
        """The metrics' outputs that it is read from; empty for losses and costs."""
        needed = [side.quantity.needs for side in self.sides if side.quantity]
        return tuple(dict.fromkeys(name for name in needed if name))

    def under(self, protocol: Protocol) -> PartSpec:
        """The part with its protocol's studies in each side that names none."""
        sides = {letter: side for letter in "abcd" if (side := getattr(self, letter)) is not None and not side.study}
        studies = {x: (side.tuned and protocol.tuned_over) or protocol.study for x, side in sides.items()}
        own = {x: side.model_copy(update={"study": studies[x]}) for x, side in sides.items()}
        return self.model_copy(update=own)

    def _resolved(self, side: Side) -> Side:
        own = {"at": {**self.at, **side.at}, "quantity": side.quantity or self.quantity}
        return side.model_copy(update=own)


def unit_of(quantity: Quantity, metrics: Sequence[str] = ()) -> str:
    """A quantity's unit, empty where it has none; `metrics` are the study's own."""
    if quantity.metric:
        return quantities.outputs(tuple(metrics))[quantity.metric].unit
    if quantity.curve:
        return quantity.unit
    return quantities.COSTS[quantity.cost][1] if quantity.cost else ""


def dotted(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """{"a.b": value} from {"a": {"b": value}}."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= dotted(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


@dataclass(frozen=True)
class Contrast:
    """A part's value by seed, each side's own, why seeds are left out, and how many runs enter.

    `censored` has for each side how many of its runs count with their budget, `collapsed` how many of its runs
    collapsed, of how many that say so. `absent` names what has no run at all, `diverged` counts the seeds that are left
    out because a run diverged, `goal` is the score whose reaching is timed, if any.
    """

    values: dict[int, float]
    sides: tuple[dict[int, float], ...]
    left_out: dict[str, int]
    absent: tuple[str, ...]
    censored: tuple[int, ...]
    runs: int
    diverged: int
    collapsed: tuple[tuple[int, int], ...]
    goal: float | None = None


def contrast(part: PartSpec, results: Results) -> Contrast:
    """A part's values from the complete runs."""
    chosen = [_chosen(side, results) for side in part.sides]
    goal = _goal(chosen)
    taken = [_by_seed(part, own, goal) for own in chosen]
    planned = [own.seeds for own in chosen if own.seeds]
    seeds = sorted(frozenset.intersection(*planned)) if planned else []  # studies may have other numbers of seeds
    complete = [seed for seed in seeds if all(seed in side.values for side in taken)]
    sides = tuple({seed: side.values[seed] for seed in complete} for side in taken)
    signs = (1, -1, -1, 1)
    return Contrast(
        values={seed: sum(sign * side[seed] for sign, side in zip(signs, sides, strict=False)) for seed in complete},
        sides=sides,
        left_out=dict(Counter(_why(seed, taken) for seed in seeds if seed not in complete)),
        absent=tuple(dict.fromkeys(name for own in chosen for name in own.absent)),
        censored=tuple(sum(side.censored.get(seed, 0) for seed in complete) for side in taken),
        runs=sum(side.counted.get(seed, 0) for side in taken for seed in complete),
        diverged=len(set[int]().union(*(side.diverged for side in taken))),
        collapsed=tuple(_collapsed(own, complete) for own in chosen),
        goal=goal,
    )


@dataclass(frozen=True)
class _Chosen:
    """A side's planned seeds, and by seed the runs that enter or why none does; `absent` as in Contrast."""

    side: Side
    absent: tuple[str, ...]
    seeds: frozenset[int]
    runs: dict[int, list[RunRecord]]
    whys: dict[int, str]
    diverged: frozenset[int] = frozenset()


@dataclass(frozen=True)
class _Side:
    """One side by seed: its value or why there is none, its runs, those of them that are censored, seeds lost to
    divergence."""

    values: dict[int, float]
    whys: dict[int, str]
    counted: dict[int, int]
    censored: dict[int, int]
    diverged: set[int]


def _why(seed: int, taken: Sequence[_Side]) -> str:
    whys = [side.whys.get(seed, "no run") for side in taken if seed not in side.values]
    return ", ".join(dict.fromkeys(whys))


def _chosen(side: Side, results: Results) -> _Chosen:
    runs = results.where(side.studies, side.frameworks, side.at)
    present = {(run.study, run.framework) for run in runs}
    absent = tuple(f"{f} in {s}" for s in side.studies for f in side.frameworks if (s, f) not in present)
    planned = [
        (spec["seed"], _cell(study, spec))
        for study in side.studies
        for spec in results.planned.get(study, {}).values()
        if among(spec["framework"], side.frameworks) and holds(spec, side.at)
    ]
    seeds, cells = frozenset(seed for seed, _ in planned), {cell for _, cell in planned}
    if absent:
        return _Chosen(side=side, absent=absent, seeds=seeds, runs={}, whys={})
    own = {seed: [run for run in runs if run.seed == seed] for seed in sorted(seeds)}
    lacking = {seed for seed in seeds if {_cell(run.study, run.spec) for run in own[seed]} != cells}
    whys = dict.fromkeys(lacking, "a setting is missing" if side.tuned else "a run is missing")
    whole = {seed: runs for seed, runs in own.items() if seed not in lacking}
    return (
        _tuned(side, seeds, whole, whys)
        if side.tuned
        else _Chosen(side=side, absent=(), seeds=seeds, runs=whole, whys=whys)
    )


def _tuned(side: Side, seeds: frozenset[int], whole: dict[int, list[RunRecord]], whys: dict[int, str]) -> _Chosen:
    """For each seed with all of its runs the one run whose setting is chosen."""
    runs = [run for own in whole.values() for run in own]
    chosen = {run.seed: [run] for run in cross_fitted(runs)}
    without = frozenset(whole) - frozenset(chosen)
    whys = {**whys, **dict.fromkeys(without, "the other seeds choose no setting")}
    diverged = any(run.status == "diverged" for run in runs)
    return _Chosen(
        side=side, absent=(), seeds=seeds, runs=chosen, whys=whys, diverged=without if diverged else frozenset()
    )


def cross_fitted(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """For each seed its run of the setting that the other seeds' validation scores choose, if there are others."""
    table: dict[tuple[Any, ...], dict[int, RunRecord]] = defaultdict(dict)
    for run in runs:
        table[tuple(run.field(name) for name in SETTING)][run.seed] = run
    seeds = sorted({run.seed for run in runs})
    chosen = []
    for seed in seeds:
        others = [other for other in seeds if other != seed]
        means = {setting: mean_validation(own, others) for setting, own in table.items()}
        best = min(means, key=lambda setting: means[setting])
        if math.isfinite(means[best]) and seed in table[best]:
            chosen.append(table[best][seed])
    return chosen


def mean_validation(own: Mapping[int, RunRecord], seeds: Sequence[int]) -> float:
    """A setting's mean validation score over these seeds; infinite if one has none, or there are no seeds."""
    scores = [quantities.value(Quantity(metric=VALIDATION), own[seed]).value for seed in seeds if seed in own]
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if seeds and len(known) == len(seeds) else math.inf


def _collapsed(chosen: _Chosen, seeds: Sequence[int]) -> tuple[int, int]:
    found = [quantities.value(Quantity(metric="collapsed"), run).value for s in seeds for run in chosen.runs[s]]
    known = [value for value in found if value is not None]
    return sum(value == 1 for value in known), len(known)


def _goal(chosen: Sequence[_Chosen]) -> float | None:
    """The score to be reached: a number from the part, or the median of the last values of all runs compared."""
    timed = [(own.side.quantity, own.runs) for own in chosen if own.side.quantity and own.side.quantity.curve]
    stated = timed[0][0].reach if timed else None
    if stated != "median":
        return stated
    last = [
        moments[-1][1]
        for quantity, own in timed
        for runs in own.values()
        for run in runs
        if (moments := quantities.points(quantity.curve or "", run))
    ]
    return statistics.median(last) if last else None


def _by_seed(part: PartSpec, chosen: _Chosen, goal: float | None) -> _Side:
    quantity = chosen.side.quantity or Quantity(metric=VALIDATION)
    if quantity.reach == "median":
        quantity = quantity.model_copy(update={"reach": math.nan if goal is None else goal})
    taken = _Side(values={}, whys={**chosen.whys}, counted={}, censored={}, diverged={*chosen.diverged})
    for seed, own in chosen.runs.items():
        found = [quantities.value(quantity, run) for run in own]
        scaled = [None if each.value is None else _scaled(part.scale, each.value) for each in found]
        numbers = [x for x in scaled if x is not None]
        if len(numbers) == len(own):
            taken.values[seed] = _reduced(part.per_doubling, own, numbers)
            taken.counted[seed], taken.censored[seed] = len(own), sum(each.censored for each in found)
            continue
        whys = dict.fromkeys(each.why for each in found if each.value is None)
        taken.whys[seed] = ", ".join(whys) or "a value is not positive and has no logarithm"
        if any(run.status == "diverged" for run, x in zip(own, scaled, strict=True) if x is None):
            taken.diverged.add(seed)
    return taken


def _cell(study: str, spec: Mapping[str, Any]) -> tuple[str, str, str]:
    return study, str(spec["framework"]), condition_key(spec["condition"])


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
