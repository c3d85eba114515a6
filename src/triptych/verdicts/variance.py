"""Where the scatter between runs comes from: the share of the variance that each source of randomness accounts for.

The share of a source is the variance of a score when the seed of that source alone varies, divided by its variance when
the seeds of all sources vary, both on the scale of the metric (`triptych.verdicts.scales`). "The FID lottery"
(arXiv:2606.20536) and Bouthillier et al. 2021 (arXiv:2103.03098) measure sources in this way.

Intervals. Run j of a source shares the seed of that source with run j of the total, so their scores are correlated, and
the F interval of a ratio of independent variances does not hold. Pitman (1939) and Morgan (1939, both Biometrika 31)
give the interval of the ratio of two variances in n pairs of a normal law, whatever their correlation r:

    ratio * (k -+ sqrt(k^2 - 1)),  k = 1 + 2 (1 - r^2) t^2 / (n - 2),  t the quantile of Student's law with n - 2 df.

It holds its level if the sources add up on the scale and scatter normally, also for few seeds. A share is at most 1 on
average over the seeds at which the others are fixed, so share and interval are cut off there.

What shares do not say. They are those at one seed of the other sources. Where sources interact, they need not add up to
1: each share then counts the interactions of its source, and the sum is on average above 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from triptych.spec.seeds import SOURCES
from triptych.text import condition, count, listed, number
from triptych.verdicts import scales
from triptych.verdicts.scales import Scale
from triptych.verdicts.wording import display, mid

LEVEL = 0.95
LEAST = 0.001
"""Smaller shares are not told apart."""
ROUNDING = 1e-12
"""A standard deviation this small against the values is rounding."""


@dataclass(frozen=True)
class Part:
    """One source. `ratio` is the ratio of the variances, `share` the same but at most 1, with its interval; `sd` is the
    standard deviation on the metric's scale. All are None where `why` says that there is none.

    `is_same`: the score was the same in all runs. The share is then 0, without an interval.
    """

    source: str
    sd: float | None = None
    ratio: float | None = None
    share: float | None = None
    low: float | None = None
    high: float | None = None
    is_same: bool = False
    why: str = ""


@dataclass(frozen=True)
class Question:
    """A metric of a framework at a point of the study's grid: the runs of `seeds` in each group of runs."""

    metric: str
    label: str
    role: str
    scale: Scale
    framework: str
    condition: Mapping[str, Any]
    seeds: int


@dataclass(frozen=True)
class Breakdown:
    """The variance of one score, source by source. `sd` is that of the runs in which all sources vary, on `scale`."""

    question: Question
    scale: Scale
    sd: float | None
    parts: tuple[Part, ...]
    why: str = ""
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float | None:
        """The sum of the ratios; None where one is unknown."""
        ratios = [part.ratio for part in self.parts if part.ratio is not None]
        return math.fsum(ratios) if len(ratios) == len(self.parts) else None

    @property
    def spread(self) -> str:
        """The standard deviation between runs for people: "a factor of 1.07"; of shares, around one half."""
        if self.sd is None:
            return ""
        if self.scale == "factor":
            return f"a factor of {number(math.exp(min(self.sd, 700.0)), 3)}"
        return number(scales.Effects(self.scale).effect(self.sd), 2)

    def to_dict(self) -> dict[str, Any]:
        """The record in variance.json."""
        q = self.question
        return {
            "metric": q.metric,
            "label": q.label,
            "role": q.role,
            "framework": q.framework,
            "name": display(q.framework),
            "condition": dict(q.condition),
            "scale": self.scale,
            "seeds": q.seeds,
            "sd": self.sd,
            "spread": self.spread,
            "sources": [{**vars(part), "title": SOURCES[part.source], "text": text(part)} for part in self.parts],
            "sum": self.total,
            "undefined": self.why,
            "notes": list(self.notes),
            "sentence": sentence(self),
        }


def ratio_of_variances(one: ArrayLike, other: ArrayLike, level: float = LEVEL) -> tuple[float, float, float]:
    """The variance of `one` divided by that of `other`, and its interval, from n >= 3 pairs [n] that both vary.

    Raises ValueError for fewer pairs, and where one of the two is the same throughout.
    """
    x, y = np.asarray(one, float), np.asarray(other, float)
    n = len(x)
    if n < 3 or len(y) != n or is_constant(x) or is_constant(y):
        raise ValueError("three or more pairs are needed, and both sides must vary")
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    t = float(special.stdtrit(n - 2, (1 + level) / 2))
    k = 1 + 2 * (1 - r**2) * t**2 / (n - 2)
    ratio, width = float(x.var(ddof=1) / y.var(ddof=1)), math.sqrt(k**2 - 1)
    return ratio, ratio / (k + width), ratio * (k + width)


def is_constant(values: np.ndarray) -> bool:
    """Whether values differ by no more than rounding."""
    return bool(values.std() <= ROUNDING * max(float(np.abs(values).max()), 1e-300))


def breakdown(
    question: Question, values: Mapping[str, Sequence[float | None]], images: int | None = None, why: str = ""
) -> Breakdown:
    """The variance of a score by source, from its values by seed under "all" and under each source.

    The first value is the same run's everywhere; None is a score that does not exist, for the reason `why` if that is
    known. A source with such a score has no share: whatever made it fail may be what its variance is about. `images`
    is out of how many a share is.
    """
    sources = [name for name in values if name != "all"]
    everything = values["all"]
    known = [x for group in values.values() for x in group if x is not None]
    scale: Scale = question.scale if scales.fits(question.scale, known) else "difference"
    notes = () if scale == question.scale else ("values that do not fit the metric's scale: compared as they are",)
    if missing := _missing(everything, why):
        return Breakdown(question, scale, None, tuple(Part(s, why=missing) for s in sources), missing, notes)
    whole = scales.transformed(scale, [x for x in everything if x is not None], images)
    if is_constant(whole):
        same = "the score is the same in all runs"
        return Breakdown(question, scale, 0.0, tuple(Part(s, why=same) for s in sources), same, notes)
    parts = []
    for source in sources:
        if missing := _missing(values[source], why):
            parts.append(Part(source, why=missing))
        else:
            parts.append(_part(source, scales.transformed(scale, values[source], images), whole))  # type: ignore[arg-type]
    return Breakdown(question, scale, float(whole.std(ddof=1)), tuple(parts), "", notes)


def _missing(values: Sequence[float | None], why: str) -> str:
    """Why there is no variance of these values; empty if there is one."""
    missing = sum(x is None for x in values)
    known = f" ({why})" if why else ""
    return f"{missing} of {count(len(values), 'run')} without this score{known}" if missing else ""


def _part(source: str, x: np.ndarray, whole: np.ndarray) -> Part:
    if is_constant(x):
        return Part(source, sd=0.0, ratio=0.0, share=0.0, is_same=True)
    ratio, low, high = ratio_of_variances(x, whole)
    return Part(
        source,
        sd=float(x.std(ddof=1)),
        ratio=ratio,
        share=min(ratio, 1.0),
        low=min(low, 1.0),
        high=min(high, 1.0),
    )


def text(part: Part) -> str:
    """A share in a table: "60 % (8 to 100 %)"."""
    if part.share is None:
        return f"undefined: {part.why}"
    if part.low is None or part.high is None:
        return "0 %, the same in all runs"
    if part.high < LEAST:
        return f"under {100 * LEAST:g} %"
    share = _percent(part.share) if part.share >= LEAST else f"under {100 * LEAST:g}"
    return f"{share} % ({_percent(part.low)} to {_percent(part.high)} %)"


def _percent(share: float) -> str:
    """A share in per cent without the sign: "60", "0.4", "0"."""
    return f"{100 * share:.{0 if share >= 0.0095 or share < LEAST else 1}f}"


def sentence(b: Breakdown) -> str:
    """Where the variance comes from, in words; the largest share first."""
    q = b.question
    lead = f"With {condition(q.condition)}: o" if q.condition else "O"
    who = f"{lead}f the variance of {mid(q.label)} between runs of {display(q.framework)}"
    if b.why:
        return f"{who} nothing can be said: {b.why}."
    known = sorted((p for p in b.parts if p.share), key=lambda p: -(p.ratio or 0))
    shares = [
        f"{text(part)}{' comes' if not place else ''} from {SOURCES[part.source]}" for place, part in enumerate(known)
    ]
    none = [SOURCES[part.source] for part in b.parts if part.is_same]
    said = f"{who}, {listed(shares)}" if shares else who
    if none:
        said += f"{', and' if shares else ','} none comes from {listed(none)}"
    if unknown := [f"{SOURCES[part.source]} ({part.why})" for part in b.parts if part.share is None]:
        said += f"{';' if shares or none else ','} the share of {listed(unknown)} is not known"
    if len(known) > 1 and (known[0].low or 0) < (known[1].high or 1):
        said += f"; with {count(q.seeds, 'seed')} their intervals overlap, so their order is not settled"
    return said + "."
