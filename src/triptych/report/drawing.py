"""Panels as inline SVG for a page, or as a file that stands alone.

They are written directly, since matplotlib takes 70 ms for each (34 ms with a fixed layout), and a page may have
hundreds. Colours are the page's CSS variables, so that a figure follows the reader's light or dark scheme.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from unicodedata import east_asian_width

from markupsafe import Markup, escape

from triptych.report.plotting import (
    FONT_SIZE,
    INKS,
    PAPER,
    POINTS_PER_INCH,
    Band,
    Bars,
    Colour,
    Mark,
    Panel,
    Scale,
    Shown,
    Words,
    dash,
    scales,
)

WIDTH = 259.2
FONT = "font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif"
LETTERS = {"wide": 1.0, "capital": 0.74, "other": 0.62}
"""Widths of letters as shares of the font size, as in DejaVu Sans, which is wider than most."""
GAP, TICK, ROW = 4.0, 3.0, 12.0
"""Between a tick and its label; the length of a tick; the height of a line of text."""
COLUMN = 0.5
"""Of a line with more points than can be seen, so wide a column keeps four."""


@dataclass(frozen=True)
class _Sheet:
    """The box within which a panel's data are drawn, and its axes."""

    left: float
    right: float
    top: float
    bottom: float
    x: Scale
    y: Scale

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the data lies in the drawing."""
        across, up = self.x.at(x), self.y.at(y)
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)


def svg(panel: Panel) -> Markup:
    """The panel as an inline `<svg>` in the page's own colours, sized by its box."""
    sheet = _sheet(panel)
    height = panel.height * POINTS_PER_INCH
    parts = [*_grid(panel, sheet), *_legend(panel), *(_drawn(mark, sheet) for mark in panel.shown)]
    parts += _labels(panel, sheet, height)
    box = f'viewBox="0 0 {WIDTH:g} {height:g}" font-size="{FONT_SIZE}" stroke-linejoin="round"'
    return Markup(f'<svg role="img" aria-label="{escape(panel.alt)}" {box}>{"".join(parts)}</svg>')


def svgs(panels: Iterable[Panel]) -> list[tuple[str, Markup]]:
    """The panels' titles and drawings."""
    return [(panel.title, svg(panel)) for panel in panels]


def standalone(svg: str) -> str:
    """An inline `<svg>` as a document: real colours for the page's variables, on white, with its own size and font."""
    for name, colour in [*INKS.items(), *((f"f{i}", colour) for i, colour in enumerate(PAPER))]:
        svg = svg.replace(f"var(--{name})", colour)
    left, top, width, height = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', svg).groups()  # pyright: ignore
    size = f'xmlns="http://www.w3.org/2000/svg" width="{float(width) * 2:g}" height="{float(height) * 2:g}"'
    paper = f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#ffffff"/>'
    return svg.replace("<svg ", f'<svg {size} style="{FONT}" ', 1).replace(">", f">{paper}", 1)


def _sheet(panel: Panel) -> _Sheet:
    """Room for the data, with as much around it as the labels need."""
    x, y = scales(panel)
    named = max((_width(text) for text in y.ticks.values()), default=0.0)
    last = max((_width(text) / 2 for text in x.ticks.values()), default=0.0)
    below = TICK + GAP + FONT_SIZE + (ROW if panel.x.label else 0.0)
    return _Sheet(
        left=min(named + TICK + GAP, WIDTH / 2) + 1,
        right=WIDTH - max(last, 4.0) - 1,
        top=5 + ROW * len(_legend_rows(panel)),
        bottom=panel.height * POINTS_PER_INCH - below - 2,
        x=x,
        y=y,
    )


def _width(text: str) -> float:
    """About how wide a text is, since what font a reader has is not known."""
    kinds = ("wide" if east_asian_width(c) in "WF" else "capital" if c.isupper() else "other" for c in text)
    return FONT_SIZE * sum(LETTERS[kind] for kind in kinds)


def _colour(colour: Colour) -> str:
    return f"var(--{colour})" if isinstance(colour, str) else f"var(--f{colour % len(PAPER)})"


def _grid(panel: Panel, sheet: _Sheet) -> Iterator[str]:
    """Hair lines at the ticks, and the two axes; an axis without ticks is not drawn."""
    across = [sheet.at(value, sheet.y.low)[0] for value in sheet.x.ticks]
    up = [sheet.at(sheet.x.low, value)[1] for value in sheet.y.ticks]
    lines = [f"M{x:.1f} {sheet.bottom:.1f}V{sheet.top:.1f}" for x in across if panel.x.grid]
    lines += [f"M{sheet.left:.1f} {y:.1f}H{sheet.right:.1f}" for y in up if panel.y.grid]
    lines += [f"M{x:.1f} {sheet.bottom:.1f}v{TICK:g}" for x in across]
    lines += [f"M{sheet.left:.1f} {y:.1f}h-{TICK:g}" for y in up]
    lines += [f"M{sheet.left:.1f} {sheet.bottom:.1f}H{sheet.right:.1f}"] if across else []
    lines += [f"M{sheet.left:.1f} {sheet.bottom:.1f}V{sheet.top:.1f}"] if up else []
    yield f'<path style="fill:none;stroke:var(--line);stroke-width:0.7" d="{"".join(lines)}"/>'


def _labels(panel: Panel, sheet: _Sheet, height: float) -> Iterator[str]:
    """The labels of the ticks and the name of the horizontal axis."""
    yield '<g style="fill:var(--muted)">'
    below = sheet.bottom + TICK + GAP / 2 + 0.75 * FONT_SIZE
    for value, text in sheet.x.ticks.items():
        yield _text(sheet.at(value, sheet.y.low)[0], below, text, "middle")
    for value, text in sheet.y.ticks.items():
        y = sheet.at(sheet.x.low, value)[1] + 0.35 * FONT_SIZE
        yield _text(sheet.left - TICK - GAP / 2, y, _cut(text, sheet.left - TICK - GAP), "end")
    if panel.x.label:
        yield _text((sheet.left + sheet.right) / 2, height - 3, panel.x.label, "middle")
    yield "</g>"


def _cut(text: str, room: float) -> str:
    """A label that fits; the whole one is in the panel's words."""
    if _width(text) <= room:
        return text
    while text and _width(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{place}>{escape(text)}</text>'


def _drawn(mark: Shown, sheet: _Sheet) -> str:
    match mark:
        case Mark():
            return _mark(mark, [sheet.at(x, y) for x, y in zip(mark.x, mark.y, strict=True)])
        case Band():
            low = _thinned([sheet.at(x, y) for x, y in zip(mark.x, mark.low, strict=True)])
            high = _thinned([sheet.at(x, y) for x, y in zip(mark.x, mark.high, strict=True)])
            style = f"fill:{_colour(mark.colour)};fill-opacity:{mark.opacity:g}"
            return f'<path style="{style}" d="{_path([*low, *reversed(high)])}z"/>'
        case Bars():
            style = _bar_style(mark)
            return "".join(_bar(mark, sheet, y, end, style) for y, end in zip(mark.y, mark.ends, strict=True))
        case Words():
            x, y = sheet.at(mark.x, mark.y)
            return f'<g style="fill:var(--ink)">{_text(x, y + 0.8 * FONT_SIZE, mark.text, "middle")}</g>'


def _mark(mark: Mark, points: list[tuple[float, float]]) -> str:
    """A line and its markers; each marker is a shape of its own, so that those that cover each other are seen."""
    parts, colour = "", _colour(mark.colour)
    if mark.width:
        dashes = " ".join(f"{mark.width * length:.3g}" for length in dash(mark.dashed))
        style = f"fill:none;stroke:{colour};stroke-width:{mark.width:g}"
        style += f";stroke-dasharray:{dashes}" if dashes else ""
        parts += f'<path style="{style}" d="{_path(_thinned(points))}"/>'
    if mark.marker:
        shape = _shape(mark.marker, mark.size / 2)
        style = f"stroke:{colour};stroke-width:2" if mark.marker == "x" else f"fill:{colour}"
        style += f";opacity:{mark.opacity:g}" if mark.opacity < 1 else ""
        shapes = "".join(f'<path d="M{x:.1f} {y:.1f}{shape}"/>' for x, y in points)
        parts += f'<g style="{style}">{shapes}</g>'
    return parts


def _shape(marker: str, r: float) -> str:
    """A marker of radius `r` as the rest of a path that has moved to its centre."""
    d, third = r * math.sqrt(2), 2 * r / 3
    shapes = {
        "o": f"m{-r:g} 0a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0z",
        "s": f"m{-r:g} {-r:g}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z",
        "^": f"m0 {-r:g}l{r:g} {2 * r:g}h{-2 * r:g}z",
        "v": f"m0 {r:g}l{r:g} {-2 * r:g}h{-2 * r:g}z",
        "D": f"m0 {-d:.3g}l{d:.3g} {d:.3g} {-d:.3g} {d:.3g} {-d:.3g} {-d:.3g}z",
        "P": f"m{-third / 2:.3g} {-r:g}h{third:.3g}v{third:.3g}h{third:.3g}v{third:.3g}h{-third:.3g}v{third:.3g}"
        f"h{-third:.3g}v{-third:.3g}h{-third:.3g}v{-third:.3g}h{third:.3g}z",
        "x": f"m{-r:g} {-r:g}l{2 * r:g} {2 * r:g}m0 {-2 * r:g}l{-2 * r:g} {2 * r:g}",
    }
    return shapes[marker]


def _bar_style(bars: Bars) -> str:
    colour = _colour(bars.colour)
    return f"fill:{colour};fill-opacity:0.75" if bars.filled else f"fill:none;stroke:{colour}"


def _bar(bars: Bars, sheet: _Sheet, y: float, end: float, style: str) -> str:
    (x0, y0), (x1, y1) = sheet.at(bars.start, y - bars.thickness / 2), sheet.at(end, y + bars.thickness / 2)
    size = f'width="{abs(x1 - x0):.1f}" height="{abs(y1 - y0):.1f}"'
    return f'<rect style="{style}" x="{min(x0, x1):.1f}" y="{min(y0, y1):.1f}" {size}/>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of each column of the drawing the first, the lowest, the highest and the last point: the line looks the same,
    however many points it has (M4: Jugel et al., "M4: a visualization-oriented time series data aggregation", 2014).
    """
    kept: list[tuple[float, float]] = []
    for _, group in itertools.groupby(points, key=lambda point: round(point[0] / COLUMN)):
        column = list(group)
        heights = [y for _, y in column]
        places = {0, heights.index(min(heights)), heights.index(max(heights)), len(column) - 1}
        kept += [column[place] for place in sorted(places)]
    return kept


def _legend_rows(panel: Panel) -> list[list[tuple[float, Mark | Bars]]]:
    """The marks that have a label, row by row, with where each begins."""
    rows: list[list[tuple[float, Mark | Bars]]] = []
    end = WIDTH
    for mark in panel.shown:
        if isinstance(mark, Mark | Bars) and mark.label:
            wide = 34 + _width(mark.label)
            if end + wide > WIDTH:
                rows.append([])
                end = 0.0
            rows[-1].append((end, mark))
            end += wide
    return rows


def _legend(panel: Panel) -> Iterator[str]:
    """Above the data: each mark that has a label, in small, and its label."""
    for row, entries in enumerate(_legend_rows(panel)):
        y = ROW * (row + 0.5)
        for x, mark in entries:
            if isinstance(mark, Mark):
                line = _mark(replace(mark, marker=""), [(x, y), (x + 22, y)])
                yield line + _mark(replace(mark, width=0.0), [(x + 11, y)])
            else:
                yield f'<rect style="{_bar_style(mark)}" x="{x + 4:.1f}" y="{y - 3:.1f}" width="16" height="6"/>'
            yield f'<g style="fill:var(--ink)">{_text(x + 26, y + 0.35 * FONT_SIZE, mark.label, "start")}</g>'
