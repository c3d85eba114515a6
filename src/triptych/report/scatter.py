"""Where the scatter comes from: the share of variance of each source of randomness, in a table and in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from triptych.report.collect import Row, Study
from triptych.report.plotting import MARKERS, Draw, Ink, Panel, style_axes
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
            draw=_shares(study, rows),
            height=0.7 + 0.2 * (len(rows) + 1) * len(rows[0]["sources"]),
        )
        for metric, rows in found.items()
    ]


def _shares(study: Study, rows: list[Row]) -> Draw:
    """Shares in per cent with their intervals; a source that moves nothing has its mark at 0 and no interval."""

    def draw(axes: Any, ink: Ink) -> None:
        sources = [str(source["title"]).removeprefix("the ") for source in rows[0]["sources"]]
        step = 0.8 / len(rows)
        for place, row in enumerate(rows):
            index = study.frameworks.index(row["framework"]) if row["framework"] in study.frameworks else place
            colour, marker = ink.series[index % len(ink.series)], MARKERS[index % len(MARKERS)]
            for line, source in enumerate(row["sources"]):
                y = line + (place - (len(rows) - 1) / 2) * step
                if source["share"] is None:
                    continue
                if source["low"] is not None and source["high"] is not None:
                    ends = [100 * source["low"], 100 * source["high"]]
                    axes.plot(ends, [y, y], color=colour, linewidth=1.6)
                axes.plot([100 * source["share"]], [y], marker, color=colour, markersize=6, mew=0)
        style_axes(axes, ink)
        axes.set_yticks(range(len(sources)), sources)
        axes.set_ylim(len(sources) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(-3, 103)
        axes.set_xlabel("share of the variance, %", color=ink.muted)

    return draw
