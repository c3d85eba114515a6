"""A part's answer in words: what was found, in the quantity's own terms, and what a reader must know as well."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from triptych.claims import spec as specs
from triptych.claims.contrasts import Contrast
from triptych.claims.results import Results
from triptych.claims.spec import PartSpec, Side
from triptych.text import count, interval, number, p_value
from triptych.verdicts import events, scales, stats
from triptych.verdicts.scales import Effects
from triptych.verdicts.stats import Estimate
from triptych.verdicts.wording import display, risk_of

FIELDS = {"optimiser.rate": "the learning rate"}
"""Fields of a spec in words."""
Aside = Literal["margin", "goal", "failures", "most failed", "censored", "left out", "rescaled"]
UNSPOKEN = ("", "share", "share of runs", "ratio")


@dataclass(frozen=True)
class Answer:
    """The words for one part; `margin` is on the contrast's scale, `adjusted` the p of support and of contradiction."""

    spec: PartSpec
    found: Contrast
    margin: float | None
    adjusted: tuple[float, float] | None
    results: Results

    @cached_property
    def on_scale(self) -> Estimate | None:
        """The mean over seeds with its t interval, on the contrast's scale; None without a seed."""
        values = list(self.found.values.values())
        return stats.mean(values) if values else None

    @cached_property
    def estimate(self) -> Estimate | None:
        """The same as an effect; of an event the difference of two rates, or one rate, with its exact interval."""
        if self.on_scale is None:
            return None
        if self.found.scale == "event":
            rates = [events.rate(*each) for each in self.found.counts[0]]
            low, high = self._of_rates(rates)
            if self.found.clustered:  # runs of one seed may resemble each other: no narrower than seeds alone say
                n = self.on_scale.n
                low, high = self._of_rates([events.rate(round(rate.share * n), n) for rate in rates])
            point = rates[0].share - (rates[1].share if len(rates) == 2 else 0.0)
            return Estimate(point=point, low=low, high=high, n=self.on_scale.n)
        show = self._level if self._is_level else self.effect
        low, high = (None if x is None else show(x) for x in (self.on_scale.low, self.on_scale.high))
        return Estimate(point=show(self.on_scale.point), low=low, high=high, n=self.on_scale.n)

    @staticmethod
    def _of_rates(rates: list[events.Rate]) -> tuple[float, float]:
        """The exact interval of one rate, or of the difference of two."""
        return events.difference(rates[0], rates[1]) if len(rates) == 2 else (rates[0].low, rates[0].high)

    @property
    def _is_level(self) -> bool:
        """Whether the part is a single side's mean, and no difference or slope."""
        return len(self.found.sides) == 1 and not self.spec.per_doubling

    def effect(self, d: float) -> float:
        """A difference on the scale as an effect: of shares around their level; in doublings on "log2"."""
        return Effects("share", self.found.level, self.found.images).effect(d) if self.found.scale == "share" else d

    def _level(self, y: float) -> float:
        """A mean on the scale as a value; in doublings on "log2"."""
        return scales.back("share", y, self.found.images) if self.found.scale == "share" else y

    @property
    def own_unit(self) -> str:
        """The unit of the quantity itself."""
        quantity, study = self.spec.sides[0].quantity, self.results.studies.get(self.spec.sides[0].studies[0])
        return specs.unit_of(quantity, self.results.outputs) if quantity and (study or not quantity.metric) else ""

    @property
    def unit(self) -> str:
        """The unit of the estimate; logarithms to base 2 count doublings."""
        unit = "doublings" if self.found.scale == "log2" else self.own_unit
        return f"{unit} per doubling of {self._field}".strip() if self.spec.per_doubling else unit

    @property
    def _field(self) -> str:
        return FIELDS.get(self.spec.per_doubling or "", self.spec.per_doubling or "")

    @property
    def amount(self) -> str:
        """The estimate as people read it: "a factor of 0.29", "+0.05", "−12 %"."""
        if self.estimate is None:
            return "–"
        text = self._shown(self.estimate.point)
        is_factor = self.found.scale == "log2" and not self.spec.per_doubling and not self._is_level
        spoken = "" if self.found.scale == "log2" and not self._is_level else self._spoken
        return f"a factor of {text}" if is_factor else f"{text}{spoken}"

    @property
    def span(self) -> str:
        """The 95 % interval in the same terms, "0.21 to 0.4"; empty without one."""
        e = self.estimate
        return "" if e is None else interval(e.low, e.high, lambda x: self._shown(x).removeprefix("+"))

    @property
    def least(self) -> str:
        """The smallest effect of interest: "10 %" or "0.02"; empty where none is known."""
        if self.margin is None:
            return ""
        if self.found.scale == "log2":
            return f"{number(100 * (2**self.margin - 1), 2)} %"
        return number(self.effect(self.margin), 3)

    @property
    def _spoken(self) -> str:
        return f" {self.own_unit}" if self.own_unit not in UNSPOKEN else ""

    def _shown(self, x: float) -> str:
        if self.found.scale != "log2":
            return number(x, 3) if self._is_level else _signed(x)
        return _percent(x) if self.spec.per_doubling else number(2**x, 3)

    def finding(self, verdict: str) -> str:
        """The answer with its numbers, or why there is none."""
        found, e = self.found, self.estimate
        if e is None:
            missing = f"there is no such run of {', '.join(found.absent)}" if found.absent else ""
            return f"Undefined: {missing or '; '.join(found.left_out)}"
        seeds = count(e.n, "seed") if e.n > 1 else "1 seed, and no interval"
        kind = "exact 95 % interval" if found.scale == "event" else "95 % interval"
        between = f"{kind} {self.span}" if self.span else "the same in every seed" if e.n > 1 else ""
        lead = "in runs that did not fail, " if found.set_aside else ""
        details = ", ".join(filter(None, [between, seeds, self._p()]))
        return f"{verdict.capitalize()}: {lead}{self._effect()} ({details})"

    def _p(self) -> str:
        if self.adjusted is None:
            return ""
        support, contradiction = map(p_value, self.adjusted)
        return f"{support} for the claim and {contradiction} against it"

    @property
    def levels(self) -> list[str]:
        """Each side's typical value, or of an event how many of its runs have it; no slopes."""
        if self.found.scale == "event":
            return [f"{n} of {count(of, 'run')}" for n, of in self.found.counts[0]]
        means = [math.fsum(side.values()) / len(side) for side in self.found.sides]
        return [number(2**y if self.found.scale == "log2" else self._level(y), 3) for y in means]

    def _effect(self) -> str:
        """Both levels and their difference or ratio, or the slope."""
        found, log = self.found, self.found.scale == "log2"
        change = self.amount if log else f"a difference of {self._shown(self.estimate.point if self.estimate else 0.0)}"
        if found.scale == "event":
            return " against ".join(self.levels) + (f", {change}" if len(found.sides) == 2 else "")
        if len(found.sides) == 1:
            slope = f" for each doubling of {self._field}" if self.spec.per_doubling else ""
            return f"{self.amount}{slope}"
        if len(found.sides) == 4:
            means = [math.fsum(side.values()) / len(side) for side in found.sides]
            pairs = [means[0] - means[1], means[2] - means[3]]
            if log:
                return (
                    f"a factor of {number(2 ** pairs[0], 3)} against one of {number(2 ** pairs[1], 3)}, {change} apart"
                )
            return f"{_signed(self.effect(pairs[0]))} against {_signed(self.effect(pairs[1]))}{self._spoken}, {change}"
        if self.spec.per_doubling:
            return f"{change} for each doubling of {self._field}"
        return f"{' against '.join(self.levels)}{self._spoken}, {change}"

    def asides(self) -> dict[Aside, str]:
        """What a reader must know as well: margin, a score to reach, failed runs, censored runs, seeds left out."""
        found, said = self.found, dict[Aside, str]()
        if self.least and self.spec.expects:
            said["margin"] = f"smallest effect of interest: {self.least}"
        if found.goal is not None:
            said["goal"] = f"the score to be reached is {number(found.goal, 3)}"
        is_cost = any(side.quantity and side.quantity.cost for side in self.spec.sides)  # which failing does not change
        if found.scale != "event" and not is_cost and any(each.failed for each in found.failures):
            named = zip(side_names(self.spec), found.failures, strict=True)
            said["failures"] = "; ".join(
                dict.fromkeys(_risk(name, each.failed, each.runs, each.how) for name, each in named)
            )
        if found.most_failed:
            said["most failed"] = "most runs failed, so there is no typical run to compare"
        if any(found.censored):
            said["censored"] = (
                f"{sum(found.censored)} of {count(found.runs, 'run')} never got there and count with their budget"
            )
        if found.left_out:
            said["left out"] = "; ".join(f"{count(n, 'seed')} left out ({why})" for why, n in found.left_out.items())
            if found.imputed and self.spec.expects:
                said["left out"] += ", and a verdict must also hold with the missing values at the worst"
        if found.rescaled:
            said["rescaled"] = "compared by differences, for there are values that the scale cannot take"
        return said


def side_names(spec: PartSpec) -> tuple[str, ...]:
    """How the sides of a part are called: by their frameworks, and by what else tells them apart."""
    plain = [", ".join(map(display, side.frameworks)) for side in spec.sides]
    if len(set(plain)) == len(plain):
        return tuple(plain)
    return tuple(f"{name}{_apart(side, spec)}" for name, side in zip(plain, spec.sides, strict=True))


def _apart(side: Side, spec: PartSpec) -> str:
    fields = dict.fromkeys(field for each in spec.sides for field in each.at)
    differ = [field for field in fields if len({str(each.at.get(field)) for each in spec.sides}) > 1]
    told = [f"{field.rpartition('.')[2]} {_value(side.at[field])}" for field in differ if field in side.at]
    if len({each.tuned for each in spec.sides}) > 1:
        told.append("tuned" if side.tuned else "not tuned")
    elif len({each.studies for each in spec.sides}) > 1:
        told.append(" and ".join(side.studies))
    return f" ({', '.join(told)})" if told else ""


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _risk(name: str, failed: int, runs: int, how: dict[str, int]) -> str:
    rate = events.rate(failed, runs)
    return risk_of(failed, runs, rate.low, rate.high, name, how)


def _signed(x: float) -> str:
    return ("+" if x > 0 else "") + number(x, 3)


def _percent(doublings: float) -> str:
    change = 100 * (2**doublings - 1)
    return f"{_signed(float(f'{change:.2g}'))} %"
