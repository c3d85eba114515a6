"""Verdicts: which of two frameworks is better by a metric, and how sure the seeds let us be.

A comparison is written before running: metric, scale, a, b and the smallest effect that matters. Its verdict is a
function of numbers that are all in the verdict's record, and so is its sentence.

What is compared is the typical run: the mean on the metric's scale (`triptych.verdicts.scales`), a geometric mean for
distances, over the seeds in which no run of the two sides failed. Next to it comes the risk: how many runs of each side
failed, with an exact interval. A run fails if it diverges, or if an event that is better rare, such as collapse, is
counted for it. Where more than half of the seeds have a failed run there is no typical run, and nothing is decided. An
event itself is compared by exact methods (`triptych.verdicts.events`).

The rule, in this order, with p-values adjusted by Holm over the comparisons of a group that are not undefined
(those on one topic, such as reconstruction; primary and secondary measures apart):
"undefined" if a or b has no score in any seed; "undecided" if scores are bounds whose gap is as large as their
difference; "equivalent" if two one-sided tests within the smallest effect
give p < alpha; "better" or "worse" if the paired t test gives p < alpha; else "undecided". Each kind of claim
(differs, equivalent) keeps its own family-wise level alpha, so both together at most 2 alpha. The interval is
the plain 95 % one, unadjusted. A comparison with too few seeds for a test counts in its group, with p = 1.

What a p-value must withstand, each time by taking the largest:
- seeds with a score on one side only: the tests must also hold with the other side at the worst score of all, since a
  score that is missing because a run failed is not missing at random;
- looks at a growing number of seeds (`triptych.verdicts.sequential`);
- no spread: values that differ by the same in every seed have the exact sign-flip p, and are never "equivalent".

`rests_on` says what a decided verdict assumes: "signs" if the exact sign-flip test alone decides it, too, which takes
at least six seeds; "counts" for events; else "normal", that differences between seeds scatter normally.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from numbers import Real
from typing import Any, cast

from triptych.errors import InputError
from triptych.text import condition_key
from triptych.verdicts import events, scales, sequential, stats, wording
from triptych.verdicts.designs import PAIRED, Design
from triptych.verdicts.evidence import Question, weigh
from triptych.verdicts.scales import Scale, scale_of
from triptych.verdicts.verdict import Risk, Verdict

Table = dict[tuple[str, str, str], dict[int, Mapping]]
"""(metric, key of the condition, framework) -> seed -> line of scores.jsonl."""
Failures = Mapping[tuple[str, str], Mapping[int, str]]
"""By (framework, `text.condition_key` of the condition): the seeds whose runs failed, and how ("diverged")."""


@dataclass(frozen=True)
class Comparison:
    """Is a better than b by this metric? Effects below `smallest_effect` (None: unknown) do not matter.

    On the scale "factor" it is a factor, such as 1.1. `better` ("lower" or "higher") and `unit` are read from the
    scores where empty. `role` and `topic` (its name) say with which other comparisons p-values are adjusted. `gap`
    names the metric that says how far a score may lie from the truth, as a bound does: a difference within it decides
    nothing. `subject` is what of a and b is judged, such as "samples", for the sentence; empty for the frameworks
    themselves. `condition` is a point of the study's grid: dotted field to value. Raises InputError.
    """

    metric: str
    a: str
    b: str
    smallest_effect: float | None
    role: str = "primary"
    condition: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    better: str = ""
    unit: str = ""
    label: str = ""
    topic: str = ""
    subject: str = ""
    scale: Scale = "difference"
    gap: str = ""

    def __post_init__(self) -> None:
        where, effect = f"comparison {self.metric}, {self.a} against {self.b}", self.smallest_effect
        if self.a == self.b:
            raise InputError("a framework cannot be compared with itself", where=where, hint="Name two.")
        if self.better not in ("", "lower", "higher"):
            hint = "Give lower or higher; a metric without a direction has no verdict."
            raise InputError("unknown direction `better`", where=where, value=self.better, hint=hint)
        if effect is not None and not scales.is_legal_margin(self.scale, effect):
            hint = "Leave it out (None) if none is known."
            raise InputError(
                f"smallest_effect must be {scales.LEGAL[self.scale]}", where=where, value=effect, hint=hint
            )


def comparisons_for(
    frameworks: Sequence[str], metrics: Iterable[Mapping], conditions: Sequence[Mapping[str, Any]] = ({},)
) -> list[Comparison]:
    """Every pair of frameworks, in the given order, by every line of metrics.json that has a direction."""
    return [
        Comparison(
            metric=m["metric"],
            a=a,
            b=b,
            smallest_effect=m.get("smallest_effect") or None,
            role=m.get("role") or "primary",
            condition=condition,
            better=m["better"],
            unit=m.get("unit") or "",
            label=m.get("label") or "",
            topic=(m.get("topic") or {}).get("name", ""),
            subject=(m.get("topic") or {}).get("subject", ""),
            scale=scale_of(m.get("scale")),
            gap=m.get("gap") or "",
        )
        for condition in conditions
        for m in metrics
        if m["better"] != "none"
        for a, b in combinations(frameworks, 2)
    ]


def judge(
    scores: Iterable[Mapping],
    comparisons: Sequence[Comparison],
    alpha: float = 0.05,
    failures: Failures | None = None,
    looks: Sequence[int] = (),
    seeds: Sequence[int] = (),
    design: Design = PAIRED,
) -> list[Verdict]:
    """A verdict for each comparison, in order, from the lines of scores.jsonl.

    `failures` are runs known to have failed, such as diverged ones, which stay in; runs for which an event that is
    better rare has been counted join them. `looks` are the numbers of seeds at which verdicts were planned to be made,
    and `seeds` the order in which seeds are added, by default ascending. What is decided at a look stays decided,
    unless most runs have failed since. `design` says how the seeds of two frameworks belong together.
    Raises InputError for duplicate, malformed, non-finite or incomparable scores.
    """
    if not 0 < alpha < 1:
        raise InputError("alpha must lie between 0 and 1", value=alpha)
    table = _table(scores)
    failed = _failed(table, comparisons, failures or {})
    drafts: list[Verdict] = []
    judged: list[Verdict] = []
    for stage in _stages(table, looks, seeds):
        runs: dict[tuple[str, str], set[int]] = {}
        for (_, point, framework), lines in stage.items():
            runs.setdefault((framework, point), set()).update(lines)
        latest = [_draft(c, stage, alpha, runs, failed, tuple(looks), design) for c in comparisons]
        drafts = [_smallest(*both) for both in zip(drafts, latest, strict=True)] if drafts else latest
        before = judged or drafts
        judged = [_dated(*both) for both in zip(before, _adjusted(drafts), strict=True)]
    return [_with_seeds_needed(v) for v in judged]


def _stages(table: Table, looks: Sequence[int], seeds: Sequence[int]) -> Iterator[Table]:
    """The scores at each look that has been reached; all of them where no looks were planned."""
    seen = {seed for lines in table.values() for seed in lines}
    order = [seed for seed in seeds if seed in seen] or sorted(seen)
    reached = [look for place, look in enumerate(looks) if place == 0 or looks[place - 1] < len(order)]
    for look in reached or [len(order)]:
        chosen = {*order[:look]}
        yield {key: {seed: line for seed, line in lines.items() if seed in chosen} for key, lines in table.items()}


def _smallest(before: Verdict, now: Verdict) -> Verdict:
    """A draft with the smallest p-values of all looks; a difference counts only in the direction it has now."""
    fields = ["p_equivalence_adjusted"]
    if (before.difference or 0) * (now.difference or 0) > 0:
        fields += ["p_adjusted", "p_sign_adjusted"]
    known = {name: (getattr(before, name), getattr(now, name)) for name in fields}
    return replace(now, **{name: min(both) for name, both in known.items() if None not in both})


def _adjusted(drafts: list[Verdict]) -> list[Verdict]:
    """The drafts with p-values adjusted by Holm within each group."""
    drafts = list(drafts)
    for group in sorted({(draft.role, draft.topic) for draft in drafts}):
        members = [i for i, v in enumerate(drafts) if (v.role, v.topic) == group and not v.undefined]
        for field in ("p_adjusted", "p_equivalence_adjusted", "p_sign_adjusted"):
            raw = [getattr(drafts[i], field) for i in members]
            adjusted = stats.holm([1.0 if p is None else p for p in raw])
            for i, p, unadjusted in zip(members, adjusted, raw, strict=True):
                value = {} if unadjusted is None else {field: float(p)}
                drafts[i] = replace(drafts[i], comparisons=len(members), **value)
    return drafts


def _dated(before: Verdict, now: Verdict) -> Verdict:
    """A verdict with the number of seeds at which it was first decided."""
    if now.verdict not in ("better", "worse", "equivalent"):
        return now
    return replace(now, decided_at=before.decided_at or max((risk.runs for risk in now.risks.values()), default=0))


def _failed(table: Table, comparisons: Sequence[Comparison], failures: Failures) -> dict[tuple[str, str], dict]:
    """By framework and condition: the seeds whose runs failed, and how, "diverged" or the name of an event."""
    failed = {key: dict(seeds) for key, seeds in failures.items()}
    rare = {c.metric for c in comparisons if c.scale == "event" and c.better == "lower"}
    for (metric, point, framework), lines in table.items():
        for seed, line in lines.items() if metric in rare else ():
            if line["value"]:
                failed.setdefault((framework, point), {}).setdefault(seed, metric)
    return failed


def _table(scores: Iterable[Mapping]) -> Table:
    """(metric, key of the condition, framework) -> seed -> line, every line checked."""
    table: Table = {}
    for number, line in enumerate(scores, 1):
        where = f"scores, line {number}"
        if missing := {"metric", "framework", "seed", "value", "undefined"} - set(line):
            raise InputError(f"missing {', '.join(sorted(missing))}", where=where)
        value, framework, seed = line["value"], line["framework"], line["seed"]
        if not isinstance(condition := line.get("condition") or {}, Mapping):
            hint = 'Give a table, such as {"optimiser.rate": 0.001}.'
            raise InputError("a condition is a table of fields", where=where, value=condition, hint=hint)
        if (value is None) == (not line["undefined"]):
            raise InputError("a score is a value or a reason why it is undefined", where=where, value=value)
        if value is not None and not (
            isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) < 1e300
        ):
            hint = "Give null as the value and a reason as undefined."
            raise InputError("a score must be a finite number", where=where, value=value, hint=hint)
        seeds = table.setdefault((line["metric"], condition_key(condition), framework), {})
        if seed in seeds:
            what = f"a second score of {framework} by {line['metric']} for seed {seed}"
            hint = "Keep one run for each framework, seed and condition."
            raise InputError(what, where=where, hint=hint)
        seeds[seed] = line
    return table


def _draft(
    c: Comparison,
    table: Table,
    alpha: float,
    runs: Mapping[tuple[str, str], set[int]],
    failed: Mapping,
    looks: tuple[int, ...],
    design: Design,
) -> Verdict:
    """The verdict of one comparison before adjustment of its p-values.

    `runs` are the seeds that left any score, by framework and condition.
    """
    point = condition_key(c.condition)
    sides = [table.get((c.metric, point, f), {}) for f in (c.a, c.b)]
    names = (wording.display(c.a), wording.display(c.b))
    values = [{s: float(line["value"]) for s, line in side.items() if line["value"] is not None} for side in sides]
    lines = [side[s] for side, own in zip(sides, values, strict=True) for s in own]
    c = _agreed(c, lines)
    undefined = {f: _reasons(sides[i]) for i, f in enumerate((c.a, c.b)) if not values[i]}
    risks = _risks(c, runs, failed)
    draft = Verdict(
        metric=c.metric,
        a=c.a,
        b=c.b,
        condition=c.condition,
        role=c.role,
        better=c.better,
        unit=c.unit,
        scale=c.scale,
        smallest_effect=c.smallest_effect,
        alpha=alpha,
        label=c.label or c.metric,
        topic=c.topic,
        subject=c.subject,
        names=names,
        undefined=undefined,
        left_out={} if undefined else _left_out(sides, names, design),
        risks=risks,
        looks=looks,
        look=sum(look <= max((risk.runs for risk in risks.values()), default=0) for look in looks),
    )
    gap = _gap(c, table, point)
    here = runs.get((c.a, point), set()) | runs.get((c.b, point), set())
    question = Question(
        scale=c.scale,
        better=cast(Any, c.better),
        smallest_effect=c.smallest_effect,
        failed=[[seed for seed in failed.get((f, point), {}) if seed in here] for f in (c.a, c.b)],
        undefined=[[seed for seed, line in side.items() if line["value"] is None] for side in sides],
        images=min((int(line["n"]) for line in lines if line.get("n")), default=None),
        looks=looks,
        gap=gap or 0.0,
        design=design,
    )
    return replace(draft, gap=gap, **_numbers(sides, values, question))


def _numbers(sides: Sequence[Mapping[int, Mapping]], values: list[dict[int, float]], question: Question) -> dict:
    """What the evidence says, by the fields of a verdict; nothing where there is none."""
    compared = [
        {s: scales.resolved(question.scale, x, side[s].get("error")) for s, x in own.items()}
        for side, own in zip(sides, values, strict=True)
    ]
    unresolved = sum(x != own[s] for seen, own in zip(compared, values, strict=True) for s, x in seen.items())
    found = weigh(compared[0], compared[1], replace(question, unresolved=unresolved > 0))
    if found is None:
        return {}
    numbers = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    for name in ("p", "p_equivalence", "p_sign"):
        numbers[f"{name}_adjusted"] = numbers.pop(name)
    return {"unresolved": unresolved, **numbers}


def _gap(c: Comparison, table: Table, point: str) -> float | None:
    """The larger of both sides' mean gaps; None where none has been measured."""
    sides = [table.get((c.gap, point, framework), {}) for framework in (c.a, c.b)]
    values = [[float(line["value"]) for line in side.values() if line["value"] is not None] for side in sides]
    return max((math.fsum(own) / len(own) for own in values if own), default=None)


def _risks(c: Comparison, runs: Mapping[tuple[str, str], set[int]], failed: Mapping) -> dict[str, Risk]:
    """How many runs of each side failed, of those that left any score under the comparison's condition."""
    risks, point = {}, condition_key(c.condition)
    for framework in (c.a, c.b):
        if seeds := runs.get((framework, point)):
            of = [how for seed, how in failed.get((framework, point), {}).items() if seed in seeds]
            rate = events.rate(len(of), len(seeds))
            risks[framework] = Risk(failed=rate.count, runs=rate.n, low=rate.low, high=rate.high, how=dict(Counter(of)))
    return risks


def _agreed(c: Comparison, lines: list[Mapping]) -> Comparison:
    """The comparison with direction and unit settled; scores that differ in unit or features are refused."""
    where = f"scores by {c.metric}, {c.a} against {c.b}"
    for key in ("unit", "features", "better"):
        stated = getattr(c, key, "")
        seen = {line[key] for line in lines if line.get(key) is not None} | ({stated} if stated else set())
        if len(seen) > 1:
            what, hint = f"incomparable: they differ in {key}", "Score every run in the same way."
            raise InputError(what, where=where, value=sorted(seen), hint=hint)
        if seen and key != "features":
            c = replace(c, **{key: seen.pop()})
    if lines and not c.better:
        raise InputError("no direction is stated", where=where, hint="Set better to lower or higher.")
    return c


def _reasons(side: Mapping[int, Mapping]) -> str:
    return ", ".join(sorted({line["undefined"] for line in side.values()})) or "no score was recorded"


def _left_out(sides: Sequence[Mapping[int, Mapping]], names: tuple[str, str], design: Design) -> dict[str, int]:
    """Why seeds have no pair, or no score where they are not paired, e.g. "GAN: too few samples" -> 2."""
    counts: dict[str, int] = {}
    if not design.paired:
        missing = [(name, line) for name, side in zip(names, sides, strict=True) for line in side.values()]
        return dict(Counter(f"{name}: {line['undefined']}" for name, line in missing if line["value"] is None))
    for seed in sorted(set(sides[0]) | set(sides[1])):
        gaps = [(name, side.get(seed, {"value": None})) for name, side in zip(names, sides, strict=True)]
        why = [f"{name}: {line.get('undefined', 'no score')}" for name, line in gaps if line["value"] is None]
        if why:
            counts[", ".join(why)] = counts.get(", ".join(why), 0) + 1
    return counts


def _with_seeds_needed(v: Verdict) -> Verdict:
    """With how many seeds would settle it, as its spread and the interval of its spread say; unknown after failures."""
    if v.verdict != "undecided" or v.sd is None or v.difference is None or v.imputed or v.most_failed:
        return v
    # Holm's first step, alpha over the size of the group, is the most that the others could ask of this one.
    level, (narrow, wide) = sequential.nominal(v.alpha / v.comparisons, v.looks), stats.sd_interval(v.sd, v.n)
    margin = None if v.unresolved else v.margin
    found = (stats.seeds_needed(v.difference, sd, margin, level, gap=v.gap or 0.0) for sd in (v.sd, narrow, wide))
    best, low, high = (None if n is None else max(n, v.n + 1) for n in found)  # so many have not settled it
    return replace(v, seeds_needed=best, seeds_needed_low=low, seeds_needed_high=high)
