"""Verdicts: which of two frameworks is better by a metric, and how sure the seeds let us be.

A comparison is written before running: metric, a, b and the smallest effect that matters. Its verdict is a
function of numbers that are all in the verdict's record, and so is its sentence.

The rule, in this order, with p-values adjusted by Holm over the comparisons of a group that are not undefined
(those on one topic, such as reconstruction; primary and secondary measures apart):
"undefined" if a or b has no score in any seed; "equivalent" if two one-sided tests within the smallest effect
give p < alpha; "better" or "worse" if the paired t test gives p < alpha; else "undecided". Each kind of claim
(differs, equivalent) keeps its own family-wise level alpha, so both together at most 2 alpha. The interval is
the plain 95 % one, unadjusted. A comparison with too few seeds for a test counts in its group, with p = 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from numbers import Real
from typing import Any

from triptych.errors import InputError
from triptych.text import condition_key
from triptych.verdicts import stats, wording


@dataclass(frozen=True)
class Comparison:
    """Is a better than b by this metric? Differences below `smallest_effect` (None: unknown) do not matter.

    `better` ("lower" or "higher") and `unit` are read from the scores where empty. `role` and `topic` (its name) say
    with which other comparisons p-values are adjusted. `subject` is what of a and b is judged, such as "samples", for
    the sentence; empty for the frameworks themselves. `condition` is a point of the study's grid: dotted field to
    value. Raises InputError.
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

    def __post_init__(self) -> None:
        where, effect = f"comparison {self.metric}, {self.a} against {self.b}", self.smallest_effect
        if self.a == self.b:
            raise InputError("a framework cannot be compared with itself", where=where, hint="Name two.")
        if self.better not in ("", "lower", "higher"):
            hint = "Give lower or higher; a metric without a direction has no verdict."
            raise InputError("unknown direction `better`", where=where, value=self.better, hint=hint)
        if effect is not None and not (math.isfinite(effect) and effect > 0):
            hint = "Leave it out (None) if none is known."
            raise InputError("smallest_effect must be positive", where=where, value=effect, hint=hint)


@dataclass(frozen=True)
class Verdict:
    """The numbers behind one answer, about a as against b; `verdict` and `sentence` follow from them alone.

    Means, difference (a minus b) and its 95 % interval are over the n seeds that have both scores; sd is that
    of the paired differences; `comparisons` is the size of the group; None stands for a number that does not
    exist. `undefined` gives reasons by framework, `left_out` the number of seeds by reason.
    """

    metric: str
    a: str
    b: str
    condition: Mapping[str, Any]
    role: str
    better: str
    unit: str
    smallest_effect: float | None
    alpha: float
    label: str
    topic: str
    subject: str
    names: tuple[str, str]
    undefined: dict[str, str]
    left_out: dict[str, int]
    diverged: dict[str, int]
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    sd: float | None = None
    mean_a: float | None = None
    mean_b: float | None = None
    p_adjusted: float | None = None
    p_equivalence_adjusted: float | None = None
    comparisons: int = 0
    seeds_needed: int | None = None

    @property
    def verdict(self) -> str:
        """One of undefined, equivalent, better, worse, undecided."""
        if self.undefined:
            return "undefined"
        if self.p_equivalence_adjusted is not None and self.p_equivalence_adjusted < self.alpha:
            return "equivalent"
        if self.difference and self.p_adjusted is not None and self.p_adjusted < self.alpha:
            return "better" if (self.difference < 0) == (self.better == "lower") else "worse"
        return "undecided"

    @property
    def sentence(self) -> str:
        """The answer in one plain sentence."""
        return wording.sentence(self)

    def to_dict(self) -> dict:
        """The record for verdicts.json: strings, finite numbers and null."""
        record = asdict(self) | {"names": list(self.names)}
        return {"verdict": self.verdict, "sentence": self.sentence} | record


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
    diverged: Mapping | None = None,
) -> list[Verdict]:
    """A verdict for each comparison, in order, from the lines of scores.jsonl.

    `diverged` counts diverged runs by framework, or by (framework, `text.condition_key` of the condition); they stay
    in, and the verdicts name them.
    Raises InputError for duplicate, malformed, non-finite or incomparable scores.
    """
    if not 0 < alpha < 1:
        raise InputError("alpha must lie between 0 and 1", value=alpha)
    table = _table(scores)
    drafts = [_draft(c, table, alpha, diverged or {}) for c in comparisons]
    for group in {(c.role, c.topic) for c in comparisons}:
        members = [i for i, v in enumerate(drafts) if (v.role, v.topic) == group and not v.undefined]
        for field in ("p_adjusted", "p_equivalence_adjusted"):
            raw = [getattr(drafts[i], field) for i in members]
            adjusted = stats.holm([1.0 if p is None else p for p in raw])
            for i, p, unadjusted in zip(members, adjusted, raw, strict=True):
                value = {} if unadjusted is None else {field: float(p)}
                drafts[i] = replace(drafts[i], comparisons=len(members), **value)
    return [_with_seeds_needed(v) for v in drafts]


def _table(scores: Iterable[Mapping]) -> dict[tuple[str, str, str], dict[int, Mapping]]:
    """(metric, key of the condition, framework) -> seed -> line, every line checked."""
    table: dict[tuple[str, str, str], dict[int, Mapping]] = {}
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
        if value is not None and not (isinstance(value, Real) and abs(float(value)) < 1e300):
            hint = "Give null as the value and a reason as undefined."
            raise InputError("a score must be a finite number", where=where, value=value, hint=hint)
        seeds = table.setdefault((line["metric"], condition_key(condition), framework), {})
        if seed in seeds:
            what = f"a second score of {framework} by {line['metric']} for seed {seed}"
            hint = "Keep one run for each framework, seed and condition."
            raise InputError(what, where=where, hint=hint)
        seeds[seed] = line
    return table


def _draft(c: Comparison, table: Mapping, alpha: float, diverged: Mapping) -> Verdict:
    """The verdict of one comparison before adjustment of its p-values."""
    point = condition_key(c.condition)
    sides = [table.get((c.metric, point, f), {}) for f in (c.a, c.b)]
    names = (wording.display(c.a), wording.display(c.b))
    defined = [{s for s, line in side.items() if line["value"] is not None} for side in sides]
    c = _agreed(c, [side[s] for side, have in zip(sides, defined, strict=True) for s in have])
    undefined = {f: _reasons(sides[i]) for i, f in enumerate((c.a, c.b)) if not defined[i]}
    counts = {f: diverged.get((f, point), diverged.get(f, 0)) for f in (c.a, c.b)}
    draft = Verdict(
        metric=c.metric,
        a=c.a,
        b=c.b,
        condition=c.condition,
        role=c.role,
        better=c.better,
        unit=c.unit,
        smallest_effect=c.smallest_effect,
        alpha=alpha,
        label=c.label or c.metric,
        topic=c.topic,
        subject=c.subject,
        names=names,
        undefined=undefined,
        left_out={} if undefined else _left_out(sides, names),
        diverged={f: count for f, count in counts.items() if count},
    )
    seeds = sorted(defined[0] & defined[1])
    if not seeds:
        return draft
    a, b = ([float(side[s]["value"]) for s in seeds] for side in sides)
    result = stats.paired(a, b)
    d = result.difference
    return replace(
        draft,
        difference=d.point,
        low=d.low,
        high=d.high,
        n=d.n,
        sd=result.sd,
        p_adjusted=result.p,
        p_equivalence_adjusted=stats.equivalence_p(a, b, c.smallest_effect) if c.smallest_effect else None,
        mean_a=stats.mean(a).point,
        mean_b=stats.mean(b).point,
    )


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


def _left_out(sides: list[Mapping[int, Mapping]], names: tuple[str, str]) -> dict[str, int]:
    """Why seeds have no pair, e.g. "GAN: too few samples" -> 2."""
    counts: dict[str, int] = {}
    for seed in sorted(set(sides[0]) | set(sides[1])):
        gaps = [(name, side.get(seed, {"value": None})) for name, side in zip(names, sides, strict=True)]
        why = [f"{name}: {line.get('undefined', 'no score')}" for name, line in gaps if line["value"] is None]
        if why:
            counts[", ".join(why)] = counts.get(", ".join(why), 0) + 1
    return counts


def _with_seeds_needed(v: Verdict) -> Verdict:
    if v.verdict != "undecided" or v.sd is None or v.difference is None:
        return v
    # Holm's first step, alpha over the size of the group, is the most that the others could ask of this one.
    level = v.alpha / v.comparisons
    return replace(v, seeds_needed=stats.seeds_needed(v.difference, v.sd, v.smallest_effect, level))
