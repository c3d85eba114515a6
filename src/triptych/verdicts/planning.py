"""What a number of seeds can decide, said before anything is run.

How far the paired differences of two frameworks scatter from seed to seed is not known beforehand, so it is taken from
earlier studies: `scatter.json` has a standard deviation per metric, on the metric's scale, and says which study it is
from (`scripts/write_scatter.py`). On other images and networks it may be another one; a study's own scatter is in its
verdicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from triptych.text import number
from triptych.verdicts import stats
from triptych.verdicts.scales import Effects, Scale, scale_of

POWER = 0.8


@dataclass(frozen=True)
class Reach:
    """What so many seeds can decide by one metric: the smallest effect that is found in four studies of five.

    `effect` is on the metric's scale: a factor for "factor"; of shares, the difference between shares around one half.
    """

    metric: str
    label: str
    scale: Scale
    unit: str
    seeds: int
    effect: float

    @property
    def text(self) -> str:
        """ "a factor of 1.5", "0.03", "12 nats"."""
        if self.scale == "factor":
            return f"a factor of {number(self.effect, 3)}"
        unit = f" {self.unit}" if self.unit and " " not in self.unit and self.unit not in ("share", "ratio") else ""
        return f"{number(self.effect, 2)}{unit}"


@cache
def scatter() -> dict[str, Any]:
    """The table of earlier scatter: {"source", "sd": {metric: standard deviation on its scale}}."""
    file = resources.files("triptych.verdicts") / "scatter.json"
    return json.loads(file.read_text(encoding="utf-8"))


def reaches(metrics: Iterable[Mapping[str, Any]], frameworks: int, seeds: int) -> list[Reach]:
    """What a study of so many seeds and frameworks can decide by each of its primary metrics that is in the table.

    `metrics` are the rows of metrics.json. The level is what Holm's first step asks of the largest group.
    """
    rows = [m for m in metrics if m.get("role") == "primary" and m.get("better") in ("lower", "higher")]
    known, pairs = scatter()["sd"], frameworks * (frameworks - 1) // 2
    found = []
    for row in rows:
        sd, scale = known.get(row["metric"]), scale_of(row.get("scale"))
        if sd is None or scale == "event" or seeds < 2 or not pairs:
            continue
        alone = [m for m in rows if (m.get("topic") or {}).get("name") == (row.get("topic") or {}).get("name")]
        difference = smallest_found(seeds, sd, 0.05 / (pairs * len(alone)))
        found.append(
            Reach(
                metric=row["metric"],
                label=row.get("label") or row["metric"],
                scale=scale,
                unit=row.get("unit") or "",
                seeds=seeds,
                effect=Effects(scale).effect(difference),
            )
        )
    return found


def smallest_found(n: int, sd: float, alpha: float, power: float = POWER) -> float:
    """The smallest mean difference that a paired t test of n seeds finds with this power, by bisection."""
    low, high = 0.0, sd
    while stats.difference_power(n, high, sd, alpha) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if stats.difference_power(n, middle, sd, alpha) >= power else (middle, high)
    return high


def sentences(metrics: Sequence[Mapping[str, Any]], frameworks: int, seeds: int) -> list[str]:
    """What the chosen number of seeds can decide, and what twice as many could, per metric; none without a table."""
    now, later = reaches(metrics, frameworks, seeds), reaches(metrics, frameworks, 2 * seeds)
    if not now:
        return []
    lines = [
        f"{one.label}: {one.text} with {one.seeds} seeds, {two.text} with {two.seeds}"
        for one, two in zip(now, later, strict=True)
    ]
    head = f"What {seeds} seeds can decide, in four studies of five, if seeds scatter as in {scatter()['source']}:"
    return [head, *lines]
