"""The record of a verdict: the numbers behind one answer. `triptych.verdicts.comparisons` has the rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from triptych.verdicts import wording
from triptych.verdicts.scales import Scale

RestsOn = Literal["", "signs", "counts", "normal"]


@dataclass(frozen=True)
class Risk:
    """Of `runs` runs of one side so many failed: the share with its exact 95 % interval, and how many by how."""

    failed: int
    runs: int
    low: float
    high: float
    how: dict[str, int]


@dataclass(frozen=True)
class Verdict:
    """The numbers behind one answer, about a as against b; `verdict` and `sentence` follow from them alone.

    `effect` and its 95 % interval are what the scale says: a / b for "factor", else a - b. They and the means are
    over the n seeds that have both scores and no failed run; over all that have both where `most_failed`.
    `difference` and `sd` are the mean and the standard deviation of the paired differences on the scale, `margin`
    the smallest effect there, and `correlation` is that of the two sides over seeds: without one, pairing by seed
    gains nothing. The interval from `narrow_low` to `narrow_high` is the 90 % one, by which "equivalent" is judged.
    `comparisons` is the size of the group; `p_sign_adjusted` is that of the exact sign-flip test; None is a number
    that does not exist. `improvement` is the share of seeds in which a is better, ties by half, with its exact
    interval, over all seeds that have both scores, failed runs included. `undefined` gives reasons by framework,
    `left_out` the number of seeds by reason, `imputed` of how many the missing side was taken at the worst. `look`
    is which of the planned `looks` this is, counted from 1, and `decided_at` the number of seeds at which it was
    decided. `rescaled` says why values are not compared on the metric's own scale, and `gap` how far either side's
    scores may lie from the truth, on the average over seeds. `unresolved` is the number of values that lie below what
    their images can tell apart, and count as their standard error.
    """

    metric: str
    a: str
    b: str
    condition: Mapping[str, Any]
    role: str
    better: str
    unit: str
    scale: Scale
    smallest_effect: float | None
    alpha: float
    label: str
    topic: str
    subject: str
    names: tuple[str, str]
    undefined: dict[str, str]
    left_out: dict[str, int]
    risks: dict[str, Risk]
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    narrow_low: float | None = None
    narrow_high: float | None = None
    n: int = 0
    sd: float | None = None
    correlation: float | None = None
    difference: float | None = None
    margin: float | None = None
    mean_a: float | None = None
    mean_b: float | None = None
    improvement: float | None = None
    improvement_low: float | None = None
    improvement_high: float | None = None
    imputed: int = 0
    most_failed: bool = False
    rescaled: str = ""
    unresolved: int = 0
    gap: float | None = None
    p_adjusted: float | None = None
    p_equivalence_adjusted: float | None = None
    p_sign_adjusted: float | None = None
    comparisons: int = 0
    looks: tuple[int, ...] = ()
    look: int = 0
    decided_at: int | None = None
    seeds_needed: int | None = None
    seeds_needed_low: int | None = None
    seeds_needed_high: int | None = None

    @property
    def verdict(self) -> str:
        """One of undefined, equivalent, better, worse, undecided."""
        if self.undefined:
            return "undefined"
        if self.most_failed:  # whatever an earlier look had decided
            return "undecided"
        if self.p_equivalence_adjusted is not None and self.p_equivalence_adjusted < self.alpha:
            return "equivalent"
        if self.difference and self.p_adjusted is not None and self.p_adjusted < self.alpha:
            return "better" if (self.difference < 0) == (self.better == "lower") else "worse"
        return "undecided"

    @property
    def within_gap(self) -> bool:
        """Whether the scores are bounds that may lie further from the truth than from each other."""
        return self.gap is not None and abs(self.difference or 0.0) <= self.gap

    @property
    def rests_on(self) -> RestsOn:
        """What a decided verdict assumes; empty for one that is not decided."""
        if self.verdict not in ("better", "worse", "equivalent"):
            return ""
        if self.scale == "event":
            return "counts"
        signs = self.p_sign_adjusted is not None and self.p_sign_adjusted < self.alpha
        return "signs" if signs and self.verdict != "equivalent" else "normal"

    @property
    def sentence(self) -> str:
        """The answer in one plain sentence."""
        return wording.sentence(self)

    def to_dict(self) -> dict:
        """The record for verdicts.json: strings, finite numbers and null."""
        words = {"sentence": self.sentence, **wording.effect(self)}
        record = vars(self) | {
            "condition": dict(self.condition),
            "names": list(self.names),
            "undefined": dict(self.undefined),
            "left_out": dict(self.left_out),
            "risks": {framework: asdict(risk) for framework, risk in self.risks.items()},
            "looks": list(self.looks),
        }
        return {"verdict": self.verdict, "rests_on": self.rests_on} | words | record
