"""Stability: of each framework's runs, how many diverged or failed otherwise, and how far seeds lie apart."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from triptych.report.collect import Row, Study
from triptych.report.tables import Cells
from triptych.text import number


@dataclass(frozen=True)
class Steadiness:
    """One framework; `counts` has "1 of 3" for each counted metric, or is empty where it has no values there, and
    `spreads` a standard deviation for each primary metric, or None.
    """

    framework: str
    runs: int
    diverged: int
    counts: list[str]
    spreads: list[float | None]


def measures(study: Study) -> list[Row]:
    """The metrics whose spread between seeds is shown: the primary ones."""
    return [m for m in study.metrics if m.get("role") == "primary"]


def counted(study: Study) -> list[Row]:
    """The metrics that are 0 or 1 for each run."""
    return [m for m in study.metrics if m.get("scale") == "event"]


def stability(study: Study, condition: str, cells: Cells) -> list[Steadiness]:
    """One line for each framework that has left runs."""
    found = []
    for framework in study.frameworks:
        runs = study.of(condition, framework)
        if not runs:
            continue
        counts = [_count([x for _, x in cells[m["metric"], framework].values]) for m in counted(study)]
        spreads = [_spread([x for _, x in cells[m["metric"], framework].values]) for m in measures(study)]
        diverged = sum(run.status == "diverged" for run in runs)
        found.append(Steadiness(framework=framework, runs=len(runs), diverged=diverged, counts=counts, spreads=spreads))
    return found


def _count(values: list[float]) -> str:
    return f"{number(sum(values))} of {len(values)}" if values else ""


def _spread(values: list[float]) -> float | None:
    """The standard deviation between seeds; None for fewer than two."""
    return statistics.stdev(values) if len(values) > 1 else None
