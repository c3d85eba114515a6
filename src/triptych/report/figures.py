"""Figures: learning curves with seed bands and scores with intervals, as inline SVG for the page and as PDF.

How they are drawn is in `plotting`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from triptych import imagefile, store
from triptych.directory import RunRecord
from triptych.report.collect import Row, Study
from triptych.report.plotting import (
    LINE,
    MARKERS,
    ON_PAPER,
    PAPER,
    Draw,
    Ink,
    Panel,
    Track,
    dash,
    drawing,
    style_axes,
    svg,
    svgs,
    ticker,
    track_of,
)
from triptych.report.tables import Cell, Cells
from triptych.report.topics import by_topic
from triptych.text import finite, number
from triptych.topics import Topic
from triptych.verdicts.wording import display

__all__ = ["curves", "pdf", "pictures_pdf", "responses", "scores", "svg", "svgs", "track_of"]

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
            panels.append(Panel(name, f"{name} against training images: {last}.", _curve(study, series, ends)))
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
                panel = Panel(label, f"{label} against {axis}: {ends}.", _curve(study, series, axis=axis))
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


def _curve(study: Study, series: dict[str, Track], ends: dict[str, list[int]] | None = None, axis: str = "") -> Draw:
    """Each framework's line with its band; against training images, with crosses at `ends`, if no axis is named."""

    def draw(axes: Any, ink: Ink) -> None:
        lowest = min(low for track in series.values() for _, _, low, _ in track)
        highest = max(high for track in series.values() for _, _, _, high in track)
        for framework, track in series.items():
            index = study.frameworks.index(framework)
            colour, style = ink.series[index % len(ink.series)], dash(index)
            marker = MARKERS[index % len(MARKERS)] if len(track) <= FEW else ""
            x, mean, low, high = zip(*track, strict=True)
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, mean, color=colour, linestyle=style, linewidth=LINE, marker=marker, markersize=4.5, mew=0)
            crossed = [
                max((p for p in track if p[0] <= end), default=track[0]) for end in (ends or {}).get(framework, [])
            ]
            if crossed:
                axes.plot([p[0] for p in crossed], [p[1] for p in crossed], "x", color=colour, markersize=7, mew=2)
        if lowest > 0 and highest / lowest > 60:
            axes.set_yscale("log")
        style_axes(axes, ink)
        if not axis:
            axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(ticker().MaxNLocator(4, integer=not axis, steps=[1, 2, 2.5, 5, 10]))
        axes.set_xlabel(axis or "images", color=ink.muted)

    return draw


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
            draw = _dots(study, shown, metric.get("unit") == "share")
            panels.append(
                Panel(title=title, alt=f"{title}, mean and interval over seeds: {alt}.", draw=draw, height=height)
            )
    return panels


def _dots(study: Study, shown: list[tuple[str, Cell]], share: bool) -> Draw:
    """Seeds, mean and interval, one line per framework; the interval of a share is drawn no further than 0 and 1."""

    def draw(axes: Any, ink: Ink) -> None:
        for line, (framework, cell) in enumerate(shown):
            index = study.frameworks.index(framework)
            colour, marker = ink.series[index % len(ink.series)], MARKERS[index % len(MARKERS)]
            values = [value for _, value in cell.values]
            axes.plot(values, [line] * len(values), marker, color=colour, alpha=0.45, markersize=4, mew=0)
            if cell.low is not None and cell.high is not None:
                low, high = (max(cell.low, 0.0), min(cell.high, 1.0)) if share else (cell.low, cell.high)
                axes.plot([low, high], [line, line], color=colour, linewidth=1.6)
            axes.plot([cell.mean], [line], marker, color=colour, markersize=7.5, mew=0)
        style_axes(axes, ink)
        axes.set_yticks(range(len(shown)), [display(f) for f, _ in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(ticker().MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))

    return draw


def pdf(panels: list[Panel], path: Path, frameworks: list[str]) -> None:
    """All panels on one sheet, three in a row, with a legend."""
    columns, rows = min(3, len(panels)), -(-len(panels) // 3)
    with drawing() as figure_of:
        from matplotlib.lines import Line2D

        figure = figure_of(figsize=(3.4 * columns, 0.4 + panels[0].height * rows), layout="constrained")
        for index, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, columns, index)
            panel.draw(axes, ON_PAPER)
            axes.set_title(panel.title, fontsize=9, loc="left")
        keys = [
            Line2D([], [], color=PAPER[i % 6], linestyle=dash(i), marker=MARKERS[i % 6], label=display(f))
            for i, f in enumerate(frameworks)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=min(4, len(keys)), frameon=False)
        _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    """The figure as PDF, without the date and versions that would change its bytes."""
    sheet = io.BytesIO()
    figure.savefig(sheet, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    store.write(path, sheet.getvalue())


def pictures_pdf(pictures: list[tuple[str, Path]], path: Path) -> None:
    """Grids side by side under their titles."""
    with drawing() as figure_of:
        figure = figure_of(figsize=(2.6 * len(pictures), 2.9), layout="constrained")
        for index, (title, source) in enumerate(pictures, start=1):
            axes = figure.add_subplot(1, len(pictures), index)
            with imagefile.open_image(source) as image:
                axes.imshow(image.convert("RGB"), interpolation="none")
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
        _save(figure, path)
