"""A part's value for every seed, from what its runs give.

Every part is a paired linear combination. A side is a set of runs. For each seed its value is the mean of a quantity
over its runs or, with `per_doubling` of a field of the spec such as the learning rate, the least-squares slope of the
quantity over log2 of that field. A part is a - b, or (a - b) - (c - d), an interaction; or the slope of a alone. Values
enter on the part's scale: on "log2" differences are ratios and slopes are elasticities, on "share" they are logits.
Events, which are 0 or 1 for each run, are counted.

Runs that fail are treated as verdicts treat them (`triptych.verdicts.comparisons`). What is compared is the typical
run: where every side has one run per seed, seeds in which one of them diverged or collapsed are set aside, and the
failures are counted next to it. If these are most seeds, there is no typical run. A side of several settings asks what
these settings give, failures included, so there all runs stay; but where most runs of every side failed, nothing has
been learned and there is no typical run either. A seed that has some of the planned values but not all
is left out, but the answer must also hold with the missing ones at the worst value of all (`Contrast.alternatives`).
Values that do not fit the scale, such as an error of exactly 0 on "log2", are compared as they are.

`tuned`: for each seed the setting (optimiser and rate) that is best in the mean over the other seeds, by the metric
that selects settings (on validation images), so that no run helps to choose itself. A setting that lacks one of these
scores has failed and is not chosen. Seeds that lack a planned run neither choose nor count.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from triptych.claims import quantities
from triptych.claims.quantities import Quantity, Value
from triptych.claims.results import Results
from triptych.claims.spec import PartSpec, Scale, Side, default_scale
from triptych.claims.tuning import cross_fitted
from triptych.directory import RunRecord
from triptych.spec.nested import field_of
from triptych.text import condition_key
from triptych.verdicts import scales

SIGNS = (1, -1, -1, 1)
Counts = tuple[tuple[int, int], ...]
"""For each side: of how many runs an event is counted, and how many runs there are."""


@dataclass(frozen=True)
class Failures:
    """Of `runs` runs of a side, how many failed in which way: "diverged", or the event that was counted."""

    runs: int
    how: dict[str, int]

    @property
    def failed(self) -> int:
        return sum(self.how.values())


@dataclass(frozen=True)
class Contrast:
    """A part's value by seed, each side's own, why seeds are left out, and how many runs enter.

    Values are on `scale`; `rescaled` says that it is not the part's, which the values do not fit. `alternatives` are
    the values with those that are missing, of `imputed` seeds, at the worst. `counts` has the counts of an event, the
    alternatives after those of complete seeds; `clustered` says that several runs of a side share a seed.
    `most_failed`: most seeds have a failed run, or most runs of every side of several settings, and all enter.
    `failures` has those of each side. `absent` names what has no run at all, `censored` how many runs of each side
    count with their budget, `goal` is the score whose reaching is timed, `level` the mean on the scale and `images` out
    of how many a share is. Where values are bounds, the truth may lie as far from the part's as `gap`.
    """

    scale: Scale
    values: dict[int, float]
    sides: tuple[dict[int, float], ...]
    left_out: dict[str, int]
    absent: tuple[str, ...]
    censored: tuple[int, ...]
    runs: int
    failures: tuple[Failures, ...]
    alternatives: tuple[tuple[float, ...], ...] = ()
    counts: tuple[Counts, ...] = ()
    clustered: bool = False
    imputed: int = 0
    set_aside: int = 0
    most_failed: bool = False
    rescaled: bool = False
    goal: float | None = None
    level: float = 0.0
    images: int | None = None
    gap: float = 0.0


@dataclass(frozen=True)
class _Entry:
    """One planned run: its spec, what it gives, and the run itself where there is one."""

    spec: Mapping[str, Any]
    run: RunRecord | None
    value: Value


@dataclass
class _Side:
    """One side: its planned seeds, the entries of each, and what has no run at all."""

    spec: Side
    seeds: frozenset[int]
    absent: tuple[str, ...] = ()
    entries: dict[int, list[_Entry]] = field(default_factory=dict)

    def is_complete(self, seed: int) -> bool:
        return bool(self.entries.get(seed)) and all(each.value.value is not None for each in self.entries[seed])

    def has_some(self, seed: int) -> bool:
        return any(each.value.value is not None for each in self.entries.get(seed, []))

    def reasons(self, seed: int) -> list[str]:
        return [each.value.why for each in self.entries.get(seed, []) if each.value.value is None] or ["no run"]


def contrast(part: PartSpec, results: Results, typical: bool = True) -> Contrast:
    """A part's values from the complete runs; without `typical`, seeds with failed runs stay in."""
    taken = [_chosen(side, results) for side in part.sides]
    goal = _goal(taken, results)
    for side in taken:
        _read(side, goal)
    planned = [side.seeds for side in taken if side.seeds]
    seeds = sorted(frozenset.intersection(*planned)) if planned else []  # studies may have other numbers of seeds
    complete = [seed for seed in seeds if all(side.is_complete(seed) for side in taken)]
    partial = [seed for seed in seeds if seed not in complete and any(side.has_some(seed) for side in taken)]
    single = part.per_doubling is None and all(len(side.entries[seed]) == 1 for side in taken for seed in complete)
    measured = part.scale or default_scale(part, results.outputs)
    failures = tuple(_failures(side, seeds, results) for side in taken)
    kept, most_failed = complete, False
    if typical and measured != "event" and not any(q and q.cost for q in _quantities(taken)):
        healthy = [s for s in complete if not any(_failure(e.run, results) for x in taken for e in x.entries[s])]
        most_failed = 2 * len(healthy) < len(complete) if single else all(2 * f.failed > f.runs for f in failures)
        kept = healthy if single and not most_failed else complete
    scale = measured if _fits(measured, taken, [*complete, *partial]) else "identity"
    images = _images(taken, kept) if scale == "share" else None
    worst = _worst(part, taken, results, [*complete, *partial]) if partial and complete else []
    sides, values = _values(part, scale, taken, kept, images)
    others = (_values(part, scale, taken, [*kept, *partial], images, missing)[1] for missing in worst)
    return Contrast(
        scale=scale,
        values=values,
        sides=sides,
        left_out=dict(Counter(_reason(seed, taken) for seed in seeds if seed not in complete)),
        absent=tuple(dict.fromkeys(name for side in taken for name in side.absent)),
        censored=tuple(sum(e.value.censored for seed in kept for e in side.entries[seed]) for side in taken),
        runs=sum(len(side.entries[seed]) for side in taken for seed in kept),
        failures=failures,
        alternatives=tuple(tuple(each.values()) for each in others),
        counts=_counts(taken, complete, partial, worst) if scale == "event" else (),
        clustered=not single,
        imputed=len(partial) if worst else 0,
        set_aside=len(complete) - len(kept),
        most_failed=most_failed,
        rescaled=scale != measured,
        goal=goal,
        level=_level(scale, taken, kept, images),
        images=images,
        gap=_gap(part, taken, kept, results),
    )


def _gap(part: PartSpec, taken: Sequence[_Side], seeds: Sequence[int], results: Results) -> float:
    """How far bounds may lie from the truth: of a pair of sides the larger mean gap, as in verdicts; pairs add up.

    Infinite for a slope of bounds, of which nothing is known; 0 for what is no bound, or whose gap was not measured.
    """
    found = 0.0
    for pair in (taken[:2], taken[2:]):
        means = [0.0]
        for side in pair:
            output = results.outputs.get((side.spec.quantity and side.spec.quantity.metric) or "")
            if output is None or not output.gap:
                continue
            if part.per_doubling:
                return math.inf
            rows = [e.run.scores.get(output.gap) or {} for s in seeds for e in side.entries.get(s, []) if e.run]
            known = [float(row["value"]) for row in rows if row.get("value") is not None]
            means += [math.fsum(known) / len(known)] if known else []
        found += max(means)
    return found


def _values(
    part: PartSpec,
    scale: Scale,
    taken: Sequence[_Side],
    seeds: Sequence[int],
    images: int | None,
    missing: float = math.nan,
) -> tuple[tuple[dict[int, float], ...], dict[int, float]]:
    """Each side's value by seed, and the part's; those that differ by rounding alone are made equal."""
    sides = tuple({seed: _reduced(part, scale, side, seed, images, missing) for seed in seeds} for side in taken)
    values = {seed: math.fsum(sign * side[seed] for sign, side in zip(SIGNS, sides, strict=False)) for seed in seeds}
    if not values:
        return sides, values
    # A logarithm carries the rounding of what it is taken of, as large as that of 1, however small it is itself.
    terms = [float(np.abs(_scaled(scale, own, images)).max()) for own in _terms(taken, seeds, missing)]
    rounding = 100 * float(np.finfo(float).eps) * max([*terms, 0.0 if scale == "identity" else 1.0])
    if max(values.values()) - min(values.values()) <= rounding:
        middle = statistics.median(values.values())
        values = dict.fromkeys(values, middle if abs(middle) > rounding else 0.0)
    return sides, values


def _terms(taken: Sequence[_Side], seeds: Sequence[int], missing: float) -> list[list[float]]:
    """The values of the runs of each side and seed, with the missing ones replaced."""
    return [
        [missing if each.value.value is None else each.value.value for each in side.entries[seed]]
        for side in taken
        for seed in seeds
    ]


def _level(scale: Scale, taken: Sequence[_Side], seeds: Sequence[int], images: int | None) -> float:
    """The mean of all on the scale, every side and seed counting the same; 0 without any."""
    means = [float(_scaled(scale, own, images).mean()) for own in _terms(taken, seeds, math.nan)]
    return math.fsum(means) / len(means) if means else 0.0


def _reason(seed: int, taken: Sequence[_Side]) -> str:
    reasons = [reason for side in taken if not side.is_complete(seed) for reason in side.reasons(seed)]
    return ", ".join(dict.fromkeys(reasons))


def _quantities(taken: Sequence[_Side]) -> list[Quantity | None]:
    return [side.spec.quantity for side in taken]


def _failure(run: RunRecord | None, results: Results) -> str:
    """How a run failed: it diverged, or an event that is better rare was counted; empty if it did not."""
    if run is None:
        return ""
    if run.status == "diverged":
        return "diverged"
    rare = [output for output in results.outputs.values() if output.scale == "event" and output.better == "lower"]
    found = (output for output in rare if (run.scores.get(output.metric) or {}).get("value"))
    return next((output.label.lower() for output in found), "")


def _failures(side: _Side, seeds: Sequence[int], results: Results) -> Failures:
    """Of all runs of a side that are there, those that failed."""
    runs = [each.run for seed in seeds for each in side.entries.get(seed, []) if each.run is not None]
    return Failures(len(runs), dict(Counter(how for run in runs if (how := _failure(run, results)))))


def _chosen(side: Side, results: Results) -> _Side:
    """The planned runs by seed, with their records, or of a tuned side the chosen ones; not yet their values."""
    runs = {(run.study, run.id): run for run in results.where(side.studies, side.frameworks)}
    present = {(run.study, run.framework) for run in results.where(side.studies, side.frameworks, side.at)}
    absent = tuple(f"{f} in {s}" for s in side.studies for f in side.frameworks if (s, f) not in present)
    planned = results.planned_where(side.studies, side.frameworks, side.at)
    seeds = frozenset(spec["seed"] for _, _, spec in planned)
    if absent:
        return _Side(side, seeds, absent)
    cells = {_cell(study, spec): spec for study, _, spec in planned}
    by_seed: dict[int, dict[tuple[str, str, str], RunRecord | None]] = {seed: {} for seed in sorted(seeds)}
    for study, name, spec in planned:
        by_seed[spec["seed"]][_cell(study, spec)] = runs.get((study, name))
    missing = Value(None, "a run is missing")
    found = {seed: [_Entry(cells[cell], own.get(cell), missing) for cell in cells] for seed, own in by_seed.items()}
    return _Side(side, seeds, entries=_tuned(found, results) if side.tuned else found)


def _tuned(found: Mapping[int, list[_Entry]], results: Results) -> dict[int, list[_Entry]]:
    """For each seed the entry of the setting that the others choose, or why there is none."""
    whole = {seed: [each.run for each in own if each.run] for seed, own in found.items() if all(e.run for e in own)}
    selection = results.selection
    better = results.outputs[selection].better
    chosen = {run.seed: run for run in cross_fitted([r for own in whole.values() for r in own], selection, better)}
    without = Value(None, "the other seeds choose no setting"), Value(None, "a setting is missing")
    return {seed: [_Entry({}, chosen.get(seed), without[seed not in whole])] for seed in found}


def _cell(study: str, spec: Mapping[str, Any]) -> tuple[str, str, str]:
    return study, str(spec["framework"]), condition_key(spec["condition"])


def _goal(taken: Sequence[_Side], results: Results) -> float | None:
    """The score to be reached: a number from the part, or the worst but a tenth of where the compared runs end.

    The median would censor half of the runs by construction. Failed runs do not count: one that has learned nothing
    ends at a score that all others have from the start.
    """
    timed = [(side.spec.quantity, side) for side in taken if side.spec.quantity and side.spec.quantity.curve]
    stated = timed[0][0].reach if timed else None
    if stated != "nearly all":
        return stated
    curve = timed[0][0].curve or ""
    own = [each.run for _, side in timed for entries in side.entries.values() for each in entries if each.run]
    runs = [run for run in own if quantities.points(curve, run)]
    healthy = [run for run in runs if not _failure(run, results)] or runs
    last = sorted(quantities.points(curve, run)[-1][1] for run in healthy)
    if results.outputs[curve].better == "higher":
        last.reverse()
    return last[-(-9 * len(last) // 10) - 1] if last else None


def _read(side: _Side, goal: float | None) -> None:
    """Put into each entry what its run gives, or why it gives nothing."""
    quantity = side.spec.quantity
    assert quantity is not None  # a part's sides have one
    if quantity.reach == "nearly all":
        quantity = quantity.model_copy(update={"reach": math.nan if goal is None else goal})
    for seed, own in side.entries.items():
        side.entries[seed] = [
            each
            if each.run is None
            else _Entry(each.spec or each.run.spec, each.run, quantities.value(quantity, each.run))
            for each in own
        ]


def _known(taken: Sequence[_Side], seeds: Sequence[int]) -> list[float]:
    values = (each.value.value for side in taken for seed in seeds for each in side.entries.get(seed, []))
    return [value for value in values if value is not None]


def _fits(scale: Scale, taken: Sequence[_Side], seeds: Sequence[int]) -> bool:
    return scales.fits({"log2": "factor", "share": "share"}.get(scale, "difference"), _known(taken, seeds))  # pyright: ignore[reportArgumentType]


def _images(taken: Sequence[_Side], seeds: Sequence[int]) -> int | None:
    """Out of how many images the shares are: the fewest of all runs."""
    rows = (
        each.run.scores.get((side.spec.quantity and side.spec.quantity.metric) or "", {})
        for side in taken
        for seed in seeds
        for each in side.entries[seed]
        if each.run
    )
    return min((int(row["n"]) for row in rows if row.get("n")), default=None)


def _worst(part: PartSpec, taken: Sequence[_Side], results: Results, seeds: Sequence[int]) -> list[float]:
    """What missing values are taken for: the worst of all; both ends where none is known to be worse for the part."""
    values = _known(taken, seeds)
    better = {_better(quantity, results) for quantity in _quantities(taken)}
    if len(taken) > 2 or part.per_doubling or better - {"lower", "higher"} or len(better) > 1:
        return [min(values), max(values)]
    return [max(values) if better == {"lower"} else min(values)]


def _better(quantity: Quantity | None, results: Results) -> str:
    if quantity is None or quantity.log is not None:
        return "none"
    output = results.outputs.get(quantity.metric or "")
    return output.better if output else "lower"  # times and costs


def _counts(
    taken: Sequence[_Side], complete: Sequence[int], partial: Sequence[int], worst: Sequence[float]
) -> tuple[Counts, ...]:
    """How many runs of each side have the event: of complete seeds, then of all with the missing ones at the worst."""

    def counted(seeds: Sequence[int], missing: float) -> Counts:
        sides = [[x for own in _terms([side], seeds, missing) for x in own] for side in taken]
        return tuple((round(math.fsum(values)), len(values)) for values in sides)

    return (counted(complete, 0.0), *(counted([*complete, *partial], missing) for missing in worst))


def _scaled(scale: Scale, values: Sequence[float], images: int | None) -> np.ndarray:
    if scale == "log2":
        return scales.transformed("factor", values) / math.log(2)
    return scales.transformed("share" if scale == "share" else "difference", values, images)


def _reduced(
    part: PartSpec, scale: Scale, side: _Side, seed: int, images: int | None, missing: float = math.nan
) -> float:
    """The mean of a side's values at a seed, or their least-squares slope over log2 of a field of the runs' specs."""
    own = side.entries[seed]
    values = _scaled(scale, [missing if each.value.value is None else each.value.value for each in own], images)
    if part.per_doubling is None:
        return math.fsum(values) / len(values)
    doublings = np.log2([float(field_of(dict(each.spec), part.per_doubling)) for each in own])
    away = doublings - doublings.mean()
    return float(away @ values / (away @ away))
