"""From a part's values to its verdict.

What is tested, with d the mean over seeds and m the margin, 0 where none is known:

    expects        supported by    contradicted by
    lower          d < 0           d > -m, a difference that does not matter included
    higher         d > 0           d < m
    equivalent     -m < d < m      d < -m or d > m
    not higher     d < m           d > m
    not lower      d > -m          d < -m

by t tests over seeds: two-sided to show a difference, one-sided to show that it is small, as in two one-sided tests
(Schuirmann 1987). Events are counted and compared by exact methods (`triptych.verdicts.events`). Both columns are
adjusted by Holm, each by itself, over a family: the parts of one claim under one protocol that can be tested, or the
rows of a table. p < 0.05 decides, contradiction first. Intervals are plain unadjusted 95 % ones.

What a p-value must withstand, each time by taking the largest, is what verdicts must withstand:
- seeds with some values missing: the tests must hold with these at the worst, too;
- most seeds have a failed run, or most runs of several settings: there is no typical run, and p = 1;
- no spread: values that are the same in every seed have the exact sign-flip p for a difference, and show nothing about
  how small it is;
- looks at a growing number of seeds, where the study planned some (`triptych.verdicts.sequential`);
- several runs of one seed, which may resemble each other, behind a count: the test over seeds;
- values that are bounds: what is shown must hold as far as the truth may lie from them (`Contrast.gap`).

A comparison is tested once: a table's row that a claim has tested already is the claim's part (`judge_table`). `signs`
and `vanishes`, which test in both directions, are for tables, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from triptych.claims import quantities, wording
from triptych.claims.contrasts import Contrast, Counts, contrast
from triptych.claims.results import Results
from triptych.claims.spec import Expectation, PartSpec, in_metrics_unit
from triptych.claims.wording import Aside
from triptych.spec import StudySpec
from triptych.verdicts import events, sequential, stats
from triptych.verdicts.scales import Effects

ALPHA = 0.05
Compared = tuple[Any, ...]
"""A comparison: for each side its planned runs and its quantity, then the field of a slope."""
Tests = tuple[float, float]
"""The p of support and the p of contradiction."""


@dataclass(frozen=True)
class Part:
    """One comparison and its answer; `verdict` and the words follow from the numbers next to them.

    `p_support` and `p_contradiction` are adjusted; `p` is that of what the verdict says (of the support, where it is
    undecided). `verdict` is supported, contradicted, undecided, undefined or measured. `estimate`, `low`, `high` and
    `margin` are in `unit`: doublings on the scale "log2". `amount` and `span` are the estimate and its interval as
    people read them, such as "a factor of 0.29"; `finding` is the answer up to its p-values, and `asides` are what a
    reader must know as well. `failed` has for each side how many of its runs failed, of how many. `needs` names the
    metrics' outputs that it is read from; `compared` says which runs are compared by which quantity.
    """

    id: str
    claim: str
    protocol: str
    statement: str
    quantity: str
    unit: str
    scale: str
    expects: str | None
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None
    p_support: float | None
    p_contradiction: float | None
    margin: float | None
    censored: int
    verdict: str
    amount: str
    span: str
    least: str
    finding: str
    asides: dict[Aside, str] = field(default_factory=dict)
    failed: tuple[tuple[int, int], ...] = ()
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
    p: Tests | None


def judge_parts(claim: str, specs: Sequence[PartSpec], results: Results) -> tuple[Part, ...]:
    """The parts of one claim, in their order."""
    drafts = [_draft(f"{claim}.{place}", spec, results) for place, spec in enumerate(specs, 1)]
    adjusted: dict[str, Tests] = {}
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


def signs(rows: Sequence[Contrast]) -> Iterator[tuple[float, int]]:
    """For each row its two-sided p, adjusted by Holm over the rows, and its sign if p < 0.05, else 0."""
    found = [part_tests(row, "higher", None) or (1.0, 1.0) for row in rows]
    adjusted = stats.holm([min(each) for each in found])
    for (higher, lower), p in zip(found, adjusted, strict=True):
        yield float(p), ((higher < lower) - (lower < higher)) if p < ALPHA else 0


def vanishes(found: Contrast, sign: int) -> bool:
    """Whether a difference has this sign, by a two-sided test: what is lost when all of it is taken away."""
    p = part_tests(found, "higher" if sign > 0 else "lower", None)
    return p is not None and p[0] < ALPHA


def part_tests(found: Contrast, expects: Expectation, margin: float | None, looks: Sequence[int] = ()) -> Tests | None:
    """The p of support and of contradiction of a part, before adjustment; None for fewer than two seeds.

    `margin` is on the contrast's scale. Without one nothing can be within it.
    """
    values = list(found.values.values())
    if len(values) < 2:
        return None
    has_no_margin = margin is None and expects in ("equivalent", "not higher", "not lower")
    if found.most_failed or has_no_margin or math.isinf(found.gap):
        return 1.0, 1.0
    if found.scale == "event":
        versions = [event_tests(counts, expects, margin, looks) for counts in found.counts]
        if found.clustered:
            versions.append(tests(values, expects, margin, looks))
    else:
        versions = [tests(each, expects, margin, looks, found.gap) for each in (values, *found.alternatives)]
    return max(each[0] for each in versions), max(each[1] for each in versions)


def tests(
    values: Sequence[float],
    expects: Expectation,
    margin: float | None,
    looks: Sequence[int] = (),
    gap: float = 0.0,
) -> Tests:
    """The p of support and of contradiction of paired values [n], before adjustment; 1 for fewer than two.

    Both must hold wherever the truth lies within the gap.
    """
    if len(values) < 2:
        return 1.0, 1.0
    if expects in ("higher", "not lower"):
        mirrored: Expectation = "lower" if expects == "higher" else "not higher"
        return tests([-x for x in values], mirrored, margin, looks, gap)
    m = margin or 0.0

    def one_sided(p: float) -> float:
        return sequential.calibrated(p, looks, one_sided=True)

    def two_sided(p: float) -> float:
        return sequential.calibrated(min(1.0, 2 * p), looks)

    if expects == "lower":
        against = one_sided(_above(values, gap - m)) if m else two_sided(_above(values, gap))
        return two_sided(_below(values, -gap)), against
    beyond = _above(values, m + gap)
    if expects == "not higher":
        return one_sided(_below(values, m - gap)), two_sided(beyond)
    small = max(_below(values, m - gap), _above(values, gap - m)) if m > gap else 1.0
    return one_sided(small), two_sided(min(beyond, _below(values, -m - gap)))


def _below(values: Sequence[float], bound: float) -> float:
    """The one-sided p that the mean lies below a bound; without spread the exact one, and of a difference alone."""
    paired = stats.paired(values, np.full(len(values), bound))
    if not paired.sd:
        mean = stats.paired(values, np.zeros(len(values))).difference.point
        return stats.smallest_sign_flip_p(len(values)) / 2 if mean < 0 and paired.difference.point < 0 else 1.0
    half = 0.5 if paired.p is None else paired.p / 2
    return half if paired.difference.point < 0 else 1 - half


def _above(values: Sequence[float], bound: float) -> float:
    return _below([-x for x in values], -bound)


def event_tests(counts: Counts, expects: Expectation, margin: float | None, looks: Sequence[int] = ()) -> Tests:
    """The same of an event counted on both sides, ((of a, runs), (of b, runs)), by exact methods for two rates."""
    if expects in ("higher", "not lower"):
        mirrored: Expectation = "lower" if expects == "higher" else "not higher"
        return event_tests((counts[1], counts[0]), mirrored, margin, looks)
    a, b = counts
    m, times = margin or 0.0, max(1, len(looks))

    def lower(x: tuple[int, int], y: tuple[int, int]) -> float:
        return events.p_value(*x, *y) if x[0] * y[1] < y[0] * x[1] else 1.0

    if expects == "lower":
        found = lower(a, b), events.above_p(*a, *b, -m) if m else lower(b, a)
    elif expects == "not higher":
        found = events.above_p(*b, *a, -m), 2 * events.above_p(*a, *b, m)
    else:
        beyond = min(events.above_p(*a, *b, m), events.above_p(*b, *a, m))
        found = events.equivalence_p(*a, *b, m), 2 * beyond
    return min(1.0, times * found[0]), min(1.0, times * found[1])


def _draft(name: str, spec: PartSpec, results: Results) -> _Draft:
    found = contrast(spec, results)
    margin = margin_of(spec, found, results)
    p = part_tests(found, spec.expects, margin, _looks(spec, results)) if spec.expects else None
    return _Draft(id=name, spec=spec, found=found, margin=margin, p=p)


def margin_of(spec: PartSpec, found: Contrast, results: Results) -> float | None:
    """The smallest effect that matters, on the contrast's scale: the part's, or else the study's or metric's.

    None is known where the part is not on the metric's scale, or where its values do not fit their scale.
    """
    study = _study(spec, results)
    if found.rescaled:
        return None
    smallest = spec.margin
    if smallest is None and study is not None and in_metrics_unit(spec, results.outputs):
        smallest = quantities.smallest_effect(spec.metric, study.scoring) or None
        if smallest and found.scale == "log2":
            return math.log2(smallest)
    if smallest and found.scale == "share":
        return Effects("share", found.level, found.images).margin(smallest)
    return smallest


def _study(spec: PartSpec, results: Results) -> StudySpec | None:
    """The first study of a part's first side; None if it has not been run."""
    return results.studies.get(spec.sides[0].studies[0])


def _looks(spec: PartSpec, results: Results) -> tuple[int, ...]:
    """The most looks that one of the part's studies planned."""
    names = [name for side in spec.sides for name in side.studies if name in results.studies]
    return max((results.studies[name].looks for name in names), key=len, default=())


def _part(claim: str, draft: _Draft, adjusted: Tests | None, results: Results) -> Part:
    spec, found = draft.spec, draft.found
    said = wording.Answer(spec, found, draft.margin, adjusted, results)
    verdict = _verdict(draft, adjusted)
    support, contradiction = adjusted or (None, None)
    estimate = said.estimate
    return Part(
        id=draft.id,
        claim=claim,
        protocol=spec.protocol,
        statement=spec.statement,
        quantity=spec.name,
        unit=said.unit,
        scale=found.scale,
        expects=spec.expects,
        estimate=estimate.point if estimate else None,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        n=len(found.values),
        p=contradiction if verdict == "contradicted" else support,
        p_support=support,
        p_contradiction=contradiction,
        margin=said.effect(draft.margin) if draft.margin is not None and spec.expects else None,
        censored=sum(found.censored),
        verdict=verdict,
        amount=said.amount,
        span=said.span,
        least=said.least if spec.expects else "",
        finding=said.finding(verdict),
        asides=said.asides() if estimate else {},
        failed=tuple((each.failed, each.runs) for each in found.failures),
        needs=spec.needs,
        compared=compared(spec, results),
    )


def _verdict(draft: _Draft, adjusted: Tests | None) -> str:
    if not draft.found.values:
        return "undefined"
    if draft.spec.expects is None:
        return "measured"
    if adjusted is None:
        return "undecided"
    supports, contradicts = adjusted
    if contradicts < ALPHA:
        return "contradicted"
    return "supported" if supports < ALPHA else "undecided"
