"""The panels of a report: learning curves with seed bands, scores with intervals, and the curves behind scores.

`drawing` puts them on the page and `pdf` into files.
"""

from __future__ import annotations

from triptych.directory import RunRecord
from triptych.report.collect import Row, Study
from triptych.report.plotting import LINE, MARKERS, Axis, Mark, Panel, Shown, Track, rows_axis, track_of, tracked
from triptych.report.tables import Cell, Cells
from triptych.report.topics import by_topic
from triptych.text import finite, number
from triptych.topics import Topic
from triptych.verdicts.wording import display

__all__ = ["curves", "responses", "scores"]

FEW = 12
"""A line of at most so many points has its framework's marker at each; a single point would not be seen without."""


def curves(study: Study, condition: str, group: str = "terms") -> list[Panel]:
    """One panel per term (or per player, of its gradient norm): each framework's mean over seeds and its range."""
    runs = study.of(condition)
    panels = []
    for name in dict.fromkeys(name for run in runs for row in run.log for name in row.get(group) or {}):
        own = {f: study.of(condition, f) for f in study.frameworks}
        series = {f: track for f in own if (track := track_of([_logged(r, group, name) for r in own[f]]))}
        if series:
            ends = {f: [r.images for r in own[f] if r.status == "diverged"] for f in series}
            last = ", ".join(f"{display(f)} ends at {number(track[-1][1])}" for f, track in series.items())
            panels.append(_curve(study, name, f"{name} against training images: {last}.", series, ends))
    return panels


def responses(study: Study, condition: str) -> dict[Topic, list[Panel]]:
    """One panel per metric that has a curve, by topic: mean over seeds and range at each x."""
    rows = study.scores_of(condition)
    found: dict[Topic, list[Panel]] = {}
    for topic, metrics in by_topic(study).items():
        for metric in metrics:
            own = {f: rows.get((metric["metric"], f), []) for f in study.frameworks}
            series = {f: track for f in own if (track := track_of([_points(row) for row in own[f]]))}
            if series:
                label, axis = str(metric.get("label") or metric["metric"]), str(metric.get("axis") or "x")
                ends = "; ".join(
                    f"{display(f)} from {number(t[0][1])} at {number(t[0][0])} to {number(t[-1][1])} at "
                    f"{number(t[-1][0])}"
                    for f, t in series.items()
                )
                panel = _curve(study, label, f"{label} against {axis}: {ends}.", series, axis=axis)
                found.setdefault(topic, []).append(panel)
    return found


def _logged(run: RunRecord, group: str, name: str) -> list[tuple[float, float]]:
    """A run's finite values of a term, as (images, value)."""
    values = ((row.get("images", 0), finite((row.get(group) or {}).get(name))) for row in run.log)
    return [(int(images), value) for images, value in values if value is not None]


def _points(row: Row) -> list[tuple[float, float]]:
    """The curve behind one score."""
    curve = row.get("curve")
    pairs = [p for p in curve if isinstance(p, list) and len(p) == 2] if isinstance(curve, list) else []
    return [(a, b) for x, y in pairs if (a := finite(x)) is not None and (b := finite(y)) is not None]


def _curve(
    study: Study,
    title: str,
    alt: str,
    series: dict[str, Track],
    ends: dict[str, list[int]] | None = None,
    axis: str = "",
) -> Panel:
    """Each framework's line with its band; against training images, with crosses at `ends`, if no axis is named."""
    shown: list[Shown] = []
    for framework, track in series.items():
        place = study.frameworks.index(framework)
        shown += tracked(track, place, marker=len(track) <= FEW)
        crossed = [max((p for p in track if p[0] <= end), default=track[0]) for end in (ends or {}).get(framework, [])]
        if crossed:
            shown.append(Mark([p[0] for p in crossed], [p[1] for p in crossed], place, marker="x", size=7))
    lowest = min(low for track in series.values() for _, _, low, _ in track)
    highest = max(high for track in series.values() for _, _, _, high in track)
    return Panel(
        title=title,
        alt=alt,
        shown=shown,
        x=Axis(axis) if axis else Axis("images", low=0, whole=True),
        y=Axis(log=lowest > 0 and highest / lowest > 60),
    )


def scores(study: Study, cells: Cells, rows: list[Row]) -> list[Panel]:
    """One panel per metric: every seed's value, their mean and its 95 % t interval, one line per framework."""
    panels = []
    for metric in rows:
        shown = [(f, cells[metric["metric"], f]) for f in study.frameworks]
        shown = [(f, cell) for f, cell in shown if cell.values]
        if shown:
            alt = "; ".join(f"{display(f)} {cell.text}" for f, cell in shown)
            title = metric.get("label") or metric["metric"]
            height = 0.55 + 0.32 * len(shown)
            panels.append(
                Panel(
                    title=title,
                    alt=f"{title}, mean and interval over seeds: {alt}.",
                    shown=_dots(study, shown, metric.get("unit") == "share"),
                    y=rows_axis([display(f) for f, _ in shown]),
                    height=height,
                )
            )
    return panels


def _dots(study: Study, shown: list[tuple[str, Cell]], share: bool) -> list[Shown]:
    """Seeds, mean and interval, one line per framework; the interval of a share is drawn no further than 0 and 1."""
    found: list[Shown] = []
    for line, (framework, cell) in enumerate(shown):
        place = study.frameworks.index(framework)
        marker, values = MARKERS[place % len(MARKERS)], [value for _, value in cell.values]
        found.append(Mark(values, [line] * len(values), place, marker=marker, size=4, opacity=0.45))
        if cell.low is not None and cell.high is not None:
            low, high = (max(cell.low, 0.0), min(cell.high, 1.0)) if share else (cell.low, cell.high)
            found.append(Mark([low, high], [line, line], place, width=LINE))
        if cell.mean is not None:
            found.append(Mark([cell.mean], [line], place, marker=marker, size=7.5))
    return found
