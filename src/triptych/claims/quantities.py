"""What is read off one run: a score, a logged loss, a cost, or the time until a stated score.

A time to a stated score is that of DAWNBench (Coleman et al. 2017): where the curve over training, drawn straight
between the moments looked at, first comes to the score. Before the first moment nothing was measured, so a run that is
there by then counts with that moment. A run that never gets there is censored at its budget: means over runs are
restricted means, up to the budget, of its logarithm. Seconds are those of the run's own clock, and depend on the
machine.

The loss of a run that diverged is no final loss: it is undefined. Its scores are those of its last finite weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import model_validator

from triptych.directory import RunRecord
from triptych.spec import Frozen, ScoringSpec
from triptych.text import finite, number

if TYPE_CHECKING:
    from triptych.evaluation.metrics import Output

KINDS = ("metric", "log", "curve", "cost")
COSTS = {
    "seconds": ("training seconds", "s"),
    "seconds_per_image": ("training seconds per image", "s"),
    "flops_per_image": ("FLOPs per image", "FLOP"),
    "parameters": ("parameters", "parameters"),
}
"""The costs of a run: label and unit."""


class Quantity(Frozen):
    """Exactly one of a metric's value, a number of the log, the time until a curve reaches a score, and a cost.

    `log` is "terms.<name>" or "losses.<player>", of its last line or the mean over the last tenth of the log. `reach`
    is the score to be reached, in the metric's unit; or "nearly all", which the comparison replaces by the score that
    nine in ten of all runs compared end at or beat, so that it favours none of them and nearly all reach it.
    """

    metric: str | None = None
    log: str | None = None
    part: Literal["last", "tenth"] = "tenth"
    curve: str | None = None
    reach: float | Literal["nearly all"] | None = None
    unit: Literal["images", "seconds"] = "images"
    cost: Literal["seconds", "seconds_per_image", "flops_per_image", "parameters"] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Quantity:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"exactly one of {', '.join(KINDS)} is needed")
        if (self.curve is None) != (self.reach is None):
            raise ValueError("a curve needs the score to reach, and nothing else does")
        if self.log is not None and self.log.partition(".")[0] not in ("terms", "losses"):
            raise ValueError('log is "terms.<name>" or "losses.<player>"')
        return self

    @property
    def name(self) -> str:
        """The quantity as claims.json writes it, such as "log terms.gan (tenth)"."""
        if self.log is not None:
            return f"log {self.log} ({self.part})"
        if self.curve is not None:
            goal = self.reach if isinstance(self.reach, str) else number(self.reach)
            return f"{self.unit} until {self.curve} is {goal}"
        return str(self.metric or self.cost)

    @property
    def needs(self) -> str | None:
        """The metric's output that it is read from, if any."""
        return self.metric or self.curve


@dataclass(frozen=True)
class Value:
    """A number, or None and why there is none; `censored` says that it is the budget and not what was waited for."""

    value: float | None
    why: str = ""
    censored: bool = False


def value(quantity: Quantity, run: RunRecord) -> Value:
    """A quantity of one run; raises ValueError for a reach that is still to be replaced by a score."""
    if quantity.metric is not None:
        row = run.scores.get(quantity.metric)
        if row is None:
            return Value(None, f"{quantity.metric} was not scored")
        return Value(finite(row["value"]), row.get("undefined") or "")
    if quantity.log is not None:
        return _logged(quantity.log, quantity.part, run)
    if quantity.curve is not None:
        if not isinstance(quantity.reach, float):
            raise ValueError("the score to be reached is not a number yet")
        return _reached(quantity.curve, quantity.reach, quantity.unit, run)
    return _cost(quantity.cost or "", run)


def points(curve: str, run: RunRecord) -> list[tuple[float, float]]:
    """The points (images, score) of a run's curve over training, in order; empty where there is none."""
    pairs = run.scores.get(curve, {}).get("curve") or []
    return sorted((float(x), float(y)) for x, y in pairs if finite(x) is not None and finite(y) is not None)


def seconds_at(run: RunRecord, images: float) -> float | None:
    """A run's clock at that many images, straight between its lines and on at its mean pace; None without a clock."""
    rows = [(0.0, 0.0), *((float(row["images"]), float(row["seconds"])) for row in run.timing)]
    seen, seconds = zip(*rows, strict=True)
    if not seen[-1]:
        return None
    return float(np.interp(images, seen, seconds)) * max(1.0, images / seen[-1])


def _logged(name: str, part: str, run: RunRecord) -> Value:
    if run.status == "diverged":
        return Value(None, f"diverged after {number(run.outcome.get('images'))} images")
    table, _, key = name.partition(".")
    rows = run.log[-1:] if part == "last" else [r for r in run.log if r["images"] > 0.9 * run.log[-1]["images"]]
    found = [finite(row.get(table, {}).get(key)) for row in rows]
    values = [x for x in found if x is not None]
    if not values or len(values) < len(found):
        return Value(None, f"the log has no {name}")
    return Value(math.fsum(values) / len(values))


def _reached(curve: str, goal: float, unit: str, run: RunRecord) -> Value:
    moments = points(curve, run)
    if not moments:
        return Value(None, run.scores.get(curve, {}).get("undefined") or f"{curve} has no curve")
    sign = -1 if run.scores[curve].get("better") == "higher" else 1
    place = next((i for i, (_, y) in enumerate(moments) if sign * y <= sign * goal), None)
    images = max(float(run.setting("training.images")), moments[-1][0]) if place is None else moments[place][0]
    if place:
        (x0, y0), (x1, y1) = moments[place - 1 : place + 1]
        images = x0 + (x1 - x0) * (y0 - goal) / (y0 - y1)
    time = images if unit == "images" else seconds_at(run, images)
    return Value(time, "" if time is not None else "the run has no clock", place is None and time is not None)


def _cost(name: str, run: RunRecord) -> Value:
    if name == "flops_per_image":
        found = finite(run.outcome.get(name))
    elif name == "parameters":
        found = float(sum(run.outcome.get(name, {}).values()))
    else:
        last = run.timing[-1] if run.timing else {}
        seconds, images = finite(last.get("seconds")), finite(last.get("images"))
        found = seconds / images if seconds and images and name == "seconds_per_image" else seconds
    return Value(found, "" if found is not None else f"the run has no {name}")


def smallest_effect(metric: str, scoring: ScoringSpec) -> float:
    """The smallest effect by a metric that matters, a study's own or else the metric's; 0 if none is known.

    On the scale "factor" it is a factor.
    """
    output = outputs(scoring.metrics or ()).get(metric)
    return scoring.smallest_effect.get(metric, output.smallest_effect if output else 0.0)


@functools.cache
def outputs(metrics: tuple[str, ...] = ()) -> dict[str, Output]:
    """The outputs of every metric there is, and of these further ones, by name; InputError for an unknown metric."""
    from triptych import plugins
    from triptych.evaluation.metrics import load

    names = dict.fromkeys([*plugins.names("metrics"), *metrics])
    return {output.metric: output for metric in load(names) for output in metric.outputs}


def selection(known: Mapping[str, Output]) -> str:
    """The output by which settings are chosen: a study's own, which comes after the built-in one, or that one."""
    return [name for name, output in known.items() if output.selects_settings][-1]
