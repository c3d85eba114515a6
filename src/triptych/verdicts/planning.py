"""What a number of seeds can decide, said before anything is run.

How far the paired differences of two frameworks scatter from seed to seed is not known beforehand, so it is taken from
earlier studies: `scatter.json` has a standard deviation per metric, on the metric's scale, and says which study it is
from (`scripts/write_scatter.py`). On other images and networks it may be another one; a study's own scatter is in its
verdicts.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from triptych.text import number
from triptych.verdicts import sequential, stats
from triptych.verdicts.scales import Effects, Scale, scale_of

POWER = 0.8
MOST = 1000.0
"""Larger factors are no answer to how little can be told apart."""


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
        """ "a factor of 1.5", "0.03", "12 nats"; "nothing" where only what cannot be would be found."""
        if self.scale == "factor":
            return f"a factor of {number(self.effect, 3)}" if self.effect < MOST else "nothing"
        if self.scale == "share" and self.effect > 0.99:
            return "nothing"
        unit = f" {self.unit}" if self.unit and " " not in self.unit and self.unit not in ("share", "ratio") else ""
        return f"{number(self.effect, 2)}{unit}"


@cache
def scatter() -> dict[str, Any]:
    """The table of earlier scatter: {"source", "sd": {metric: standard deviation on its scale}}."""
    file = resources.files("triptych.verdicts") / "scatter.json"
    return json.loads(file.read_text(encoding="utf-8"))


def reaches(
    metrics: Iterable[Mapping[str, Any]], frameworks: int, seeds: int, looks: Sequence[int] = ()
) -> list[Reach]:
    """What a study of so many seeds and frameworks can decide by each of its primary metrics that is in the table.

    `metrics` are the rows of metrics.json. The level is what Holm's first step asks of the largest group; where looks
    are planned, what it asks at each of them.
    """
    rows = [m for m in metrics if _is_primary(m)]
    known, pairs = scatter()["sd"], frameworks * (frameworks - 1) // 2
    found = []
    for row in rows:
        sd, scale = known.get(row["metric"]), scale_of(row.get("scale"))
        if sd is None or scale == "event" or seeds < 2 or not pairs:
            continue
        alone = [m for m in rows if (m.get("topic") or {}).get("name") == (row.get("topic") or {}).get("name")]
        level = sequential.nominal(0.05 / (pairs * len(alone)), looks)
        difference = smallest_found(seeds, sd, level)
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


def seeds_without_assumptions(
    metrics: Iterable[Mapping[str, Any]], frameworks: int, looks: int = 1, alpha: float = 0.05
) -> int:
    """From how many seeds on the exact sign-flip test can decide in every group of primary comparisons.

    With several planned looks its p is multiplied by their number (`triptych.verdicts.evidence`).
    """
    topics = Counter((m.get("topic") or {}).get("name") for m in metrics if _is_primary(m))
    largest = max(topics.values(), default=1) * max(frameworks * (frameworks - 1) // 2, 1) * max(looks, 1)
    return math.floor(math.log2(largest / alpha)) + 2  # its smallest p is 2 / 2^n, and 2 largest / 2^n < alpha


def _is_primary(row: Mapping[str, Any]) -> bool:
    return row.get("role") == "primary" and row.get("better") in ("lower", "higher")


def smallest_found(n: int, sd: float, alpha: float, power: float = POWER) -> float:
    """The smallest mean difference that a paired t test of n seeds finds with this power, by bisection."""
    low, high = 0.0, sd
    while stats.difference_power(n, high, sd, alpha) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if stats.difference_power(n, middle, sd, alpha) >= power else (middle, high)
    return high
