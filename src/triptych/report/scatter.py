"""Where the scatter comes from: the share of variance of each source of randomness, in a table and in figures."""

from __future__ import annotations

from dataclasses import dataclass

from triptych.report.collect import Row, Study
from triptych.report.plotting import LINE, MARKERS, Axis, Mark, Panel, Shown, rows_axis
from triptych.verdicts.wording import display


@dataclass(frozen=True)
class Scatter:
    """The records of variance.json under one condition: those of primary metrics, of all others, and the notes."""

    primary: list[Row]
    secondary: list[Row]
    notes: list[str]


def scatter(study: Study, condition: str) -> Scatter | None:
    """What there is under a condition; None for a study that varies no source of randomness."""
    rows = study.scatter_of(condition)
    known = [row for row in rows if not row.get("undefined")]
    if not rows:
        return None
    notes = {f"{display(row['framework'])}: {note}" for row in rows for note in row.get("notes") or []}
    return Scatter(
        primary=[row for row in rows if row.get("role") == "primary"],
        secondary=[row for row in known if row.get("role") != "primary"],
        notes=sorted(notes),
    )


def panels(study: Study, condition: str) -> list[Panel]:
    """One panel per primary metric with shares: each source on a line, each framework's share with its interval."""
    found: dict[str, list[Row]] = {}
    for row in study.scatter_of(condition):
        if row.get("role") == "primary" and not row.get("undefined"):
            found.setdefault(row["metric"], []).append(row)
    return [
        Panel(
            title=str(rows[0].get("label") or metric),
            alt=" ".join(str(row.get("sentence")) for row in rows),
            shown=_shares(study, rows),
            x=Axis("share of the variance, %", low=-3, high=103),
            y=rows_axis([str(source["title"]).removeprefix("the ") for source in rows[0]["sources"]]),
            height=0.7 + 0.2 * (len(rows) + 1) * len(rows[0]["sources"]),
        )
        for metric, rows in found.items()
    ]


def _shares(study: Study, rows: list[Row]) -> list[Shown]:
    """Shares in per cent with their intervals; a source that moves nothing has its mark at 0 and no interval."""
    found: list[Shown] = []
    step = 0.8 / len(rows)
    for place, row in enumerate(rows):
        index = study.frameworks.index(row["framework"]) if row["framework"] in study.frameworks else place
        for line, source in enumerate(row["sources"]):
            y = line + (place - (len(rows) - 1) / 2) * step
            if source["share"] is None:
                continue
            if source["low"] is not None and source["high"] is not None:
                found.append(Mark([100 * source["low"], 100 * source["high"]], [y, y], index, width=LINE))
            marker = MARKERS[index % len(MARKERS)]
            found.append(Mark([100 * source["share"]], [y], index, marker=marker, size=6))
    return found
