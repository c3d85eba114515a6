"""Stability: of each framework's runs, how many diverged or collapsed, and how far seeds lie apart."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from triptych.report.collect import Row, Study
from triptych.report.tables import Cells
from triptych.text import number


@dataclass(frozen=True)
class Steadiness:
    """One framework; `collapsed` is empty where nothing says it, `spreads` has an SD a primary metric, or None."""

    framework: str
    runs: int
    diverged: int
    collapsed: str
    spreads: list[float | None]


def measures(study: Study) -> list[Row]:
    """The metrics whose spread between seeds is shown: the primary ones."""
    return [m for m in study.metrics if m.get("family") == "primary"]


def stability(study: Study, condition: str, cells: Cells) -> list[Steadiness]:
    """One line a framework that has left runs."""
    found = []
    for framework in study.frameworks:
        runs = study.of(condition, framework)
        if not runs:
            continue
        collapsed = cells.get(("collapsed", framework))
        values = [x for _, x in collapsed.values] if collapsed else []
        told = f"{number(sum(values))} of {len(values)}" if values else ""
        spreads = [_spread([x for _, x in cells[m["metric"], framework].values]) for m in measures(study)]
        diverged = sum(run.status == "diverged" for run in runs)
        found.append(
            Steadiness(framework=framework, runs=len(runs), diverged=diverged, collapsed=told, spreads=spreads)
        )
    return found


def _spread(values: list[float]) -> float | None:
    """The standard deviation between seeds; None for fewer than two."""
    return statistics.stdev(values) if len(values) > 1 else None
