"""From a part's values to its verdict and its sentence.

What is tested, with d the mean over seeds and m the margin, 0 where none is known:

    expects        supported by    contradicted by
    lower          d < 0           d > -m, a difference that does not matter included
    higher         d > 0           d < m
    equivalent     -m < d < m      d < -m or d > m
    not higher     d < m           d > m
    not lower      d > -m          d < -m

by t tests over seeds: two-sided to show a difference, one-sided to show that it is small, as in two one-sided tests
(Schuirmann 1987). Both columns are adjusted by Holm, each by itself, over a family: the parts of one claim under one
protocol that can be tested, or the rows of a table. p < 0.05 decides, contradiction first. Intervals are plain
unadjusted 95 % ones. A seed lost to a run that diverged is not lost by chance, so such a part can be contradicted but
not supported. Values that are the same in every seed have no interval, and the exact sign-flip p.

A comparison is tested once: a table's row that a claim has tested already is the claim's part (`judge_table`). Rules of
tables that test something else than one difference, `stability`, `signs` and `vanishes`, are here, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from triptych.claims import contrasts, quantities
from triptych.claims.contrasts import Contrast, Expectation, PartSpec, contrast
from triptych.claims.results import Results
from triptych.spec import StudySpec
from triptych.text import count, interval, number, p_value
from triptych.verdicts import stats
from triptych.verdicts.stats import Estimate

ALPHA = 0.05
FIELDS = {"optimiser.rate": "the learning rate"}
"""Fields of a spec in words."""
Compared = tuple[Any, ...]
"""A comparison: for each side its planned runs and its quantity, then the field of a slope."""
Aside = Literal["margin", "goal", "counts", "censored", "left out", "diverged"]


@dataclass(frozen=True)
class Part:
    """One comparison and its answer; `verdict` and the words follow from the numbers next to them.

    `p` is the adjusted p of what the verdict says (of the support, where it is undecided); `verdict` is supported,
    contradicted, undecided, undefined or measured; `finding` is the answer up to its p-value, and `asides` are what a
    reader must know as well; `needs` names the metrics' outputs that it is read from; `compared` says which runs are
    compared by which quantity.
    """

    id: str
    claim: str
    protocol: str
    statement: str
    quantity: str
    unit: str
    expects: str | None
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None
    margin: float | None
    censored: int
    verdict: str
    finding: str
    asides: dict[Aside, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    compared: Compared = ()

    @property
    def sentence(self) -> str:
        """The answer with its numbers, in one sentence."""
        return self.said(*self.asides)

    def said(self, *asides: Aside) -> str:
        """The finding with only these of its asides."""
        return "; ".join([self.finding, *(self.asides[name] for name in asides if name in self.asides)]) + "."


@dataclass(frozen=True)
class _Draft:
    """A part before adjustment."""

    id: str
    spec: PartSpec
    found: Contrast
    margin: float | None
    p: tuple[float, float] | None


def judge_parts(claim: str, specs: Sequence[PartSpec], results: Results) -> tuple[Part, ...]:
    """The parts of one claim, in their order."""
    drafts = [_draft(f"{claim}.{place}", spec, results) for place, spec in enumerate(specs, 1)]
    adjusted: dict[str, tuple[float, float]] = {}
    for protocol in {spec.protocol for spec in specs}:
        family = [draft for draft in drafts if draft.spec.protocol == protocol and draft.p is not None]
        columns = [stats.holm([draft.p[side] for draft in family if draft.p]) for side in (0, 1)]
        pairs = zip(*columns, strict=True)
        adjusted |= {draft.id: (float(f), float(a)) for draft, (f, a) in zip(family, pairs, strict=True)}
    return tuple(_part(claim, draft, adjusted.get(draft.id), results) for draft in drafts)


def judge_table(name: str, specs: Sequence[PartSpec], results: Results, known: Iterable[Part] = ()) -> list[Part]:
    """The rows of a table, one family but for those that `known` parts have tested already, which stand as they are."""
    before = {(part.compared, part.expects): part for part in known if part.p is not None}
    rows = [before.get((compared(spec, results), spec.expects)) for spec in specs]
    new = iter(judge_parts(name, [spec for spec, row in zip(specs, rows, strict=True) if row is None], results))
    return [row or next(new) for row in rows]


def compared(spec: PartSpec, results: Results) -> Compared:
    """Which runs a part compares by which quantity, however they are named."""
    sides = (
        (
            frozenset((study, run) for study, run, _ in results.planned_where(side.studies, side.frameworks, side.at)),
            side,
        )
        for side in spec.sides
    )
    return (*((runs, side.tuned, side.quantity) for runs, side in sides), spec.per_doubling)


def stability(
    slopes: Sequence[float], bends: Sequence[float], margin: float
) -> Literal["stable", "not stable", "undecided"]:
    """Whether a response is flat, from its slope and its bend in each seed [n].

    "stable": both are within the margin, by two one-sided tests each. "not stable": one of them is beyond the margin
    and differs from 0 by a t test, adjusted by Holm over the two.
    """
    if len(slopes) < 2:
        return "undecided"
    zero = np.zeros(len(slopes))
    same = [stats.equivalence_p(x, zero, margin) for x in (slopes, bends)]
    if all(p is not None and p < ALPHA for p in same):
        return "stable"
    differs = stats.holm([1.0 if (p := stats.paired(x, zero).p) is None else p for x in (slopes, bends)])
    beyond = [abs(math.fsum(x) / len(x)) > margin for x in (slopes, bends)]
    return "not stable" if any(p < ALPHA and far for p, far in zip(differs, beyond, strict=True)) else "undecided"


def signs(rows: Sequence[Sequence[float]]) -> Iterator[tuple[float, int]]:
    """For each row of paired differences [n] its p, adjusted by Holm over the rows; its sign if p < 0.05, else 0."""
    changes = [stats.paired(row, np.zeros(len(row))) for row in rows]
    adjusted = stats.holm([1.0 if change.p is None else change.p for change in changes])
    for change, p in zip(changes, adjusted, strict=True):
        point = change.difference.point
        yield float(p), (point > 0) - (point < 0) if p < ALPHA else 0


def vanishes(values: Sequence[float], sign: int) -> bool:
    """Whether an effect of this sign is gone, from what is left of it per seed: by a t test, or equal in all seeds."""
    if len(values) < 2:
        return False
    change = stats.paired(values, np.zeros(len(values)))
    significant = change.sd == 0 or (change.p is not None and change.p < ALPHA)
    return sign * change.difference.point > 0 and significant


def tests(values: Sequence[float], expects: Expectation, margin: float | None) -> tuple[float, float] | None:
    """The p of support and of contradiction of paired values [n], before adjustment; None for fewer than two."""
    if len(values) < 2:
        return None
    if expects in ("higher", "not lower"):
        mirrored: Expectation = "lower" if expects == "higher" else "not higher"
        return tests([-x for x in values], mirrored, margin)
    m = margin or 0.0
    if expects == "lower":
        against = _above(values, -m) if m else min(1.0, 2 * _above(values, 0.0))
        return min(1.0, 2 * _below(values, 0.0)), against
    beyond = _above(values, m)
    if expects == "not higher":
        return _below(values, m), min(1.0, 2 * beyond)
    small = stats.equivalence_p(values, np.zeros(len(values)), m)
    return 1.0 if small is None else small, min(1.0, 2 * min(beyond, _below(values, -m)))


def _below(values: Sequence[float], bound: float) -> float:
    """The one-sided p that the mean lies below a bound."""
    paired = stats.paired(values, np.full(len(values), bound))
    half = 0.5 if paired.p is None else paired.p / 2
    return half if paired.difference.point < 0 else 1 - half


def _above(values: Sequence[float], bound: float) -> float:
    return _below([-x for x in values], -bound)


def _draft(name: str, spec: PartSpec, results: Results) -> _Draft:
    found, margin = contrast(spec, results), margin_of(spec, results)
    values = list(found.values.values())
    p = tests(values, spec.expects, margin) if spec.expects else None
    return _Draft(id=name, spec=spec, found=found, margin=margin, p=p)


def margin_of(spec: PartSpec, results: Results) -> float | None:
    """The smallest effect that matters: the part's, or the study's or metric's where the part is in its unit."""
    study = _study(spec, results)
    if spec.margin is not None or not spec.in_metrics_unit or study is None:
        return spec.margin
    smallest = quantities.smallest_effect(spec.metric, study.scoring)
    if spec.scale == "log2" and smallest:
        return math.log2(smallest)
    return smallest or None


def _study(spec: PartSpec, results: Results) -> StudySpec | None:
    """The first study of a part's first side; None if it has not been run."""
    return results.studies.get(spec.sides[0].studies[0])


def _part(claim: str, draft: _Draft, adjusted: tuple[float, float] | None, results: Results) -> Part:
    spec, found = draft.spec, draft.found
    values = list(found.values.values())
    estimate = stats.mean(values) if values else None
    verdict = _verdict(draft, estimate, adjusted)
    p = None if adjusted is None else adjusted[verdict == "contradicted"]
    return Part(
        id=draft.id,
        claim=claim,
        protocol=spec.protocol,
        statement=spec.statement,
        quantity=spec.name,
        unit=unit_of(spec, results),
        expects=spec.expects,
        estimate=estimate.point if estimate else None,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        n=len(values),
        p=p,
        margin=draft.margin if spec.expects else None,
        censored=sum(found.censored),
        verdict=verdict,
        finding=_finding(draft, estimate, verdict, p, results),
        asides=_asides(draft, verdict, results) if estimate else {},
        needs=spec.needs,
        compared=compared(spec, results),
    )


def _verdict(draft: _Draft, estimate: Estimate | None, adjusted: tuple[float, float] | None) -> str:
    if estimate is None:
        return "undefined"
    if draft.spec.expects is None:
        return "measured"
    if adjusted is None:
        return "undecided"
    supports, contradicts = adjusted
    if contradicts < ALPHA:
        return "contradicted"
    return "supported" if supports < ALPHA and not draft.found.diverged else "undecided"


def unit_of(spec: PartSpec, results: Results) -> str:
    """The unit of a part's estimate; logarithms to base 2 count doublings."""
    quantity, study, unit = spec.sides[0].quantity, _study(spec, results), ""
    if spec.scale == "log2":
        unit = "doublings"
    elif quantity and (study or not quantity.metric):
        unit = contrasts.unit_of(quantity, results.outputs)
    if not spec.per_doubling:
        return unit
    return f"{unit} per doubling of {FIELDS.get(spec.per_doubling, spec.per_doubling)}".strip()


def _finding(draft: _Draft, estimate: Estimate | None, verdict: str, p: float | None, results: Results) -> str:
    """The answer with its numbers, or why there is none."""
    spec, found = draft.spec, draft.found
    if estimate is None:
        missing = f"there is no such run of {', '.join(found.absent)}" if found.absent else ""
        return f"Undefined: {missing or '; '.join(found.left_out)}"
    seeds = count(estimate.n, "seed") if estimate.n > 1 else "1 seed, and no interval"
    details = ", ".join(filter(None, [_interval(spec, estimate), seeds, p_value(p)]))
    return f"{verdict.capitalize()}: {_effect(spec, found, estimate, results)} ({details})"


def _effect(spec: PartSpec, found: Contrast, estimate: Estimate, results: Results) -> str:
    """What was found, in the quantity's own terms: both levels and their difference or ratio, or the slope."""
    log, means = spec.scale == "log2", [math.fsum(side.values()) / len(side) for side in found.sides]
    unit = unit_of(spec.model_copy(update={"per_doubling": None, "scale": "identity"}), results)
    unit = f" {unit}" if unit not in ("", "share", "ratio") else ""
    if spec.per_doubling and len(means) == 1:
        change = _percent(estimate.point) if log else f"{_signed(estimate.point)}{unit}"
        return f"{change} for each doubling of {FIELDS.get(spec.per_doubling, spec.per_doubling)}"
    if len(means) == 1:
        return f"{_level(means[0], log)}{unit}"
    pairs = [means[0] - means[1], means[2] - means[3]] if len(means) == 4 else means
    change = f"a factor of {number(2**estimate.point, 3)}" if log else f"a difference of {_signed(estimate.point)}"
    return f"{_level(pairs[0], log)} against {_level(pairs[1], log)}{unit}, {change}"


def _interval(spec: PartSpec, estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "" if estimate.n == 1 else "the same in every seed"
    log = spec.scale == "log2"
    show = _percent if log and spec.per_doubling else lambda x: _level(x, log)
    return f"95 % interval {interval(estimate.low, estimate.high, show)}"


def _asides(draft: _Draft, verdict: str, results: Results) -> dict[Aside, str]:
    """What a reader must know as well: margin, a score to reach, runs that collapsed, censored runs, lost seeds."""
    spec, found, said = draft.spec, draft.found, dict[Aside, str]()
    if draft.margin is not None and spec.expects:
        log = spec.scale == "log2"
        least = f"{number(100 * (2**draft.margin - 1), 2)} %" if log else number(draft.margin, 3)
        said["margin"] = f"smallest effect of interest: {least}"
    if found.goal is not None:
        said["goal"] = f"the score to be reached is {number(found.goal, 3)}"
    counts = {name: sides for name, sides in found.counts.items() if name != spec.metric and any(n for n, _ in sides)}
    if counts and spec.metric:
        said["counts"] = "; ".join(
            f"{results.outputs[name].label.lower()}: "
            + " against ".join(f"{n} of {count(of, 'run')}" for n, of in sides)
            for name, sides in counts.items()
        )
    if any(found.censored):
        censored = f"{sum(found.censored)} of {count(found.runs, 'run')}"
        said["censored"] = f"{censored} never got there and count with their budget"
    if found.left_out:
        said["left out"] = "; ".join(f"{count(n, 'seed')} left out ({why})" for why, n in found.left_out.items())
    if found.diverged and verdict == "undecided":
        said["diverged"] = "a diverged run is not lost by chance, so the remaining seeds cannot support it"
    return said


def _level(x: float, log: bool) -> str:
    return number(2**x if log else x, 3)


def _signed(x: float) -> str:
    return ("+" if x > 0 else "") + number(x, 3)


def _percent(doublings: float) -> str:
    change = 100 * (2**doublings - 1)
    return f"{_signed(float(f'{change:.2g}'))} %"
