"""What a part of a claim compares, and its value for every seed.

Every part is a paired linear combination. A side is a set of runs. For each seed its value is the mean of a quantity
over its runs or, with `per_doubling` of a field of the spec such as the learning rate, the least-squares slope of the
quantity over log2 of that field. A part is a - b, or (a - b) - (c - d), an interaction; or the slope of a alone. On the
scale "log2" quantities enter by their logarithms, so that differences are ratios and slopes are elasticities.

A seed enters only with all of the runs that the studies plan for it and all of their values. The other seeds are left
out and counted, with the reason. So a setting that was not run is not ignored.

`tuned`: for each seed the setting (optimiser and rate) that is best in the mean over the other seeds, by the metric
that selects settings (on validation images), so that no run helps to choose itself. A setting that lacks one of these
scores has failed and is not chosen. Seeds that lack a planned run neither choose nor count.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from triptych.claims import quantities
from triptych.claims.quantities import Quantity
from triptych.claims.results import Names, Results, as_tuple
from triptych.directory import RunRecord
from triptych.spec import Frozen
from triptych.spec.nested import flat_fields
from triptych.text import condition_key

if TYPE_CHECKING:
    from triptych.evaluation.metrics import Output

SETTING = ("optimiser.name", "optimiser.rate")
Expectation = Literal["lower", "higher", "equivalent", "not lower", "not higher"]
WITHIN = ("equivalent", "not lower", "not higher")
"""Expectations that mean nothing without a margin."""
At = Annotated[dict[str, Any], BeforeValidator(lambda at: flat_fields(at) if isinstance(at, dict) else at)]
"""Dotted fields of a spec and their values; tables within tables are accepted, too."""


class Protocol(Frozen):
    """Conditions under which parts are measured: where their runs are, and whether these parts decide the claim.

    `study` is that of a side that names none, `tuned_over` those of a tuned side; without both, the only study there
    is. `phrase` is how sentences name the protocol, such as "under matched conditions".
    """

    study: Names | None = None
    tuned_over: Names | None = None
    decides: bool = True
    phrase: str = ""


class Side(Frozen):
    """Runs: of one or more frameworks and studies, with the values that `at` gives to dotted fields of their specs.

    A list in `at` stands for any of its values. Without a study: that of the part's protocol. `quantity` replaces the
    part's.
    """

    framework: Names
    study: Names | None = None
    at: At = {}
    tuned: bool = False
    quantity: Quantity | None = None

    @property
    def frameworks(self) -> tuple[str, ...]:
        return as_tuple(self.framework)

    @property
    def studies(self) -> tuple[str, ...]:
        return as_tuple(self.study)


class PartSpec(Frozen):
    """One comparison of a claim and what the claim predicts for it; without `expects` it is only measured.

    `at` holds for all sides; their own values come first. `margin` is the smallest effect that matters, on the part's
    scale; by default the metric's own where the scale is the metric's. Without `scale`, values are compared as verdicts
    compare them: on "log2", as factors, if the metric's scale is "factor". `seeds` is the smallest number that it
    needs.
    """

    protocol: str = ""
    statement: str = Field(min_length=1)
    quantity: Quantity | None = None
    at: At = {}
    a: Side
    b: Side | None = None
    c: Side | None = None
    d: Side | None = None
    per_doubling: str | None = None
    scale: Literal["identity", "log2"] | None = None
    expects: Expectation | None = None
    margin: float | None = Field(default=None, gt=0)
    seeds: int = Field(default=2, ge=1)

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
        return bool(self.metric) and self.per_doubling is None and self.scale in (None, self.metrics_scale)

    @property
    def metrics_scale(self) -> Literal["identity", "log2"]:
        """The scale on which verdicts compare the metric."""
        output = quantities.outputs().get(self.metric)
        return "log2" if output is not None and output.scale == "factor" else "identity"

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
        return tuple(dict.fromkeys(side.quantity.needs for side in self.sides if side.quantity and side.quantity.needs))

    def under(self, protocol: Protocol) -> PartSpec:
        """The part with its protocol's studies in each side that names none, and with a scale."""
        sides = {letter: side for letter in "abcd" if (side := getattr(self, letter)) is not None and not side.study}
        studies = {x: (side.tuned and protocol.tuned_over) or protocol.study for x, side in sides.items()}
        own = {x: side.model_copy(update={"study": studies[x]}) for x, side in sides.items()}
        scale = self.scale or ("identity" if self.per_doubling else self.metrics_scale)
        return self.model_copy(update={**own, "scale": scale})

    def _resolved(self, side: Side) -> Side:
        own = {"at": {**self.at, **side.at}, "quantity": side.quantity or self.quantity}
        return side.model_copy(update=own)


def unit_of(quantity: Quantity, known: Mapping[str, Output]) -> str:
    """A quantity's unit, empty where it has none; `known` are the outputs of metrics by name."""
    if quantity.metric:
        return known[quantity.metric].unit
    if quantity.curve:
        return quantity.unit
    return quantities.COSTS[quantity.cost][1] if quantity.cost else ""


@dataclass(frozen=True)
class Contrast:
    """A part's value by seed, each side's own, why seeds are left out, and how many runs enter.

    `censored` has for each side how many of its runs count with their budget. `counts` has, for each metric that is 0
    or 1 for a run and for each side, how many of its runs have a 1, of how many that say so. `absent` names what has no
    run at all, `diverged` counts the seeds that are left out because a run diverged, `goal` is the score whose reaching
    is timed, if any.
    """

    values: dict[int, float]
    sides: tuple[dict[int, float], ...]
    left_out: dict[str, int]
    absent: tuple[str, ...]
    censored: tuple[int, ...]
    runs: int
    diverged: int
    counts: dict[str, tuple[tuple[int, int], ...]]
    goal: float | None = None


@dataclass
class _Side:
    """One side by seed: the runs that enter, their value, how many of them are censored, and why a seed has no value.

    `seeds` are those planned, `lost` those that a diverged run costs, `absent` is as in Contrast.
    """

    spec: Side
    seeds: frozenset[int]
    absent: tuple[str, ...] = ()
    runs: dict[int, list[RunRecord]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    values: dict[int, float] = field(default_factory=dict)
    censored: dict[int, int] = field(default_factory=dict)


def contrast(part: PartSpec, results: Results) -> Contrast:
    """A part's values from the complete runs."""
    taken = [_chosen(side, results) for side in part.sides]
    goal = _goal(taken)
    for side in taken:
        _read_values(part, side, goal)
    planned = [side.seeds for side in taken if side.seeds]
    seeds = sorted(frozenset.intersection(*planned)) if planned else []  # studies may have other numbers of seeds
    complete = [seed for seed in seeds if all(seed in side.values for side in taken)]
    sides = tuple({seed: side.values[seed] for seed in complete} for side in taken)
    runs = [[run for seed in complete for run in side.runs[seed]] for side in taken]
    counted = [name for name, output in results.outputs.items() if output.counted]
    signs = (1, -1, -1, 1)
    return Contrast(
        values={seed: sum(sign * side[seed] for sign, side in zip(signs, sides, strict=False)) for seed in complete},
        sides=sides,
        left_out=dict(Counter(_reason(seed, taken) for seed in seeds if seed not in complete)),
        absent=tuple(dict.fromkeys(name for side in taken for name in side.absent)),
        censored=tuple(sum(side.censored[seed] for seed in complete) for side in taken),
        runs=sum(map(len, runs)),
        diverged=len(set[int]().union(*(side.lost for side in taken))),
        counts={name: tuple(_count(name, own) for own in runs) for name in counted},
        goal=goal,
    )


def _reason(seed: int, taken: Sequence[_Side]) -> str:
    reasons = [side.reasons.get(seed, "no run") for side in taken if seed not in side.values]
    return ", ".join(dict.fromkeys(reasons))


def _count(metric: str, runs: Sequence[RunRecord]) -> tuple[int, int]:
    """How many runs have a 1 by this metric, of how many that say so."""
    found = [quantities.value(Quantity(metric=metric), run).value for run in runs]
    return found.count(1.0), len(found) - found.count(None)


def _chosen(side: Side, results: Results) -> _Side:
    """The runs that enter by seed, or why none does."""
    runs = results.where(side.studies, side.frameworks, side.at)
    present = {(run.study, run.framework) for run in runs}
    absent = tuple(f"{f} in {s}" for s in side.studies for f in side.frameworks if (s, f) not in present)
    planned = results.planned_where(side.studies, side.frameworks, side.at)
    seeds = frozenset(spec["seed"] for _, _, spec in planned)
    if absent:
        return _Side(side, seeds, absent)
    cells = {_cell(study, spec) for study, _, spec in planned}
    by_seed = {seed: [run for run in runs if run.seed == seed] for seed in sorted(seeds)}
    lacking = {s for s, own in by_seed.items() if {_cell(run.study, run.spec) for run in own} != cells}
    reasons = dict.fromkeys(lacking, "a setting is missing" if side.tuned else "a run is missing")
    whole = {seed: own for seed, own in by_seed.items() if seed not in lacking}
    if not side.tuned:
        return _Side(side, seeds, runs=whole, reasons=reasons)
    candidates = [run for own in whole.values() for run in own]
    chosen = {run.seed: [run] for run in cross_fitted(candidates, results.selection)}
    without = whole.keys() - chosen.keys()
    reasons |= dict.fromkeys(without, "the other seeds choose no setting")
    lost = without if any(run.status == "diverged" for run in candidates) else ()
    return _Side(side, seeds, runs=chosen, reasons=reasons, lost=set(lost))


def _cell(study: str, spec: Mapping[str, Any]) -> tuple[str, str, str]:
    return study, str(spec["framework"]), condition_key(spec["condition"])


def cross_fitted(runs: Sequence[RunRecord], metric: str) -> list[RunRecord]:
    """For each seed its run of the setting that the other seeds choose by this metric, if there are others."""
    table: dict[tuple[Any, ...], dict[int, RunRecord]] = defaultdict(dict)
    for run in runs:
        table[tuple(run.setting(name) for name in SETTING)][run.seed] = run
    seeds = sorted({run.seed for run in runs})
    chosen = []
    for seed in seeds:
        others = [other for other in seeds if other != seed]
        means = {setting: mean_score(own, others, metric) for setting, own in table.items()}
        best = min(means, key=lambda setting: means[setting])
        if math.isfinite(means[best]) and seed in table[best]:
            chosen.append(table[best][seed])
    return chosen


def mean_score(own: Mapping[int, RunRecord], seeds: Sequence[int], metric: str) -> float:
    """A setting's mean score over these seeds; infinite if one has none, or there are no seeds."""
    scores = [quantities.value(Quantity(metric=metric), own[seed]).value for seed in seeds if seed in own]
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if seeds and len(known) == len(seeds) else math.inf


def _goal(taken: Sequence[_Side]) -> float | None:
    """The score to be reached: a number from the part, or the median of the last values of all runs compared."""
    timed = [(side.spec.quantity, side.runs) for side in taken if side.spec.quantity and side.spec.quantity.curve]
    stated = timed[0][0].reach if timed else None
    if stated != "median":
        return stated
    last = [
        moments[-1][1]
        for quantity, by_seed in timed
        for runs in by_seed.values()
        for run in runs
        if (moments := quantities.points(quantity.curve or "", run))
    ]
    return statistics.median(last) if last else None


def _read_values(part: PartSpec, side: _Side, goal: float | None) -> None:
    """Put the value of each seed into a side, or the reason why it has none."""
    quantity = side.spec.quantity
    assert quantity is not None  # a part's sides have one
    if quantity.reach == "median":
        quantity = quantity.model_copy(update={"reach": math.nan if goal is None else goal})
    for seed, runs in side.runs.items():
        found = [quantities.value(quantity, run) for run in runs]
        scaled = [None if each.value is None else _scaled(part.scale, each.value) for each in found]
        numbers = [x for x in scaled if x is not None]
        if len(numbers) == len(runs):
            side.values[seed] = _reduced(part.per_doubling, runs, numbers)
            side.censored[seed] = sum(each.censored for each in found)
            continue
        reasons = dict.fromkeys(each.why for each in found if each.value is None)
        side.reasons[seed] = ", ".join(reasons) or "a value is not positive and has no logarithm"
        if any(run.status == "diverged" for run, x in zip(runs, scaled, strict=True) if x is None):
            side.lost.add(seed)


def _scaled(scale: str | None, x: float) -> float | None:
    if scale != "log2":
        return x
    return math.log2(x) if x > 0 else None


def _reduced(dotted: str | None, runs: Sequence[RunRecord], values: Sequence[float]) -> float:
    """The mean of values, or their least-squares slope over log2 of a field of the runs' specs."""
    if dotted is None:
        return math.fsum(values) / len(values)
    doublings = np.log2([float(run.setting(dotted)) for run in runs])
    away = doublings - doublings.mean()
    return float(away @ np.asarray(values) / (away @ away))
