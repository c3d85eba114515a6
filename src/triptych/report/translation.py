"""Trained on centred or translated images, tested on both: a table of two by two for each framework.

It needs a study whose grid varies `training.translate`.
"""

from __future__ import annotations

from dataclasses import dataclass

from triptych.report.collect import Study
from triptych.report.tables import Cell, Cells
from triptych.text import condition as text_of
from triptych.text import finite, number

KEY = "training.translate"


@dataclass(frozen=True)
class Table:
    """The lines (framework, how it was trained, one cell a column) of what shares all other conditions.

    `measures` are labels of metrics; each has two columns, tested on centred and on translated images.
    """

    name: str
    measures: list[str]
    lines: list[tuple[str, str, list[Cell]]]


def translation(study: Study, cells: dict[str, Cells]) -> list[Table]:
    """A table for every combination of the grid's other values; `cells` are the scores by condition."""
    labels = {m["metric"]: str(m.get("label") or m["metric"]) for m in study.metrics}
    measured = [(m["unshifted"], m["metric"]) for m in study.metrics if str(m.get("unshifted", "")) in labels]
    varied: dict[str, dict[float, str]] = {}
    for condition, point in study.points.items():
        if (shift := finite(point.get(KEY))) is not None:
            rest = text_of({key: value for key, value in point.items() if key != KEY})
            varied.setdefault(rest, {})[shift] = condition
    if not measured:
        return []
    return [
        Table(
            rest,
            [labels[centred] for centred, _ in measured],
            [
                (f, trained(shift), [cells[condition][name, f] for pair in measured for name in pair])
                for f in study.frameworks
                for shift, condition in sorted(by.items())
            ],
        )
        for rest, by in varied.items()
        if len(by) > 1
    ]


def trained(shift: float) -> str:
    """How the training images were placed."""
    return f"translated by up to {number(100 * shift, 3)} %" if shift else "centred"
