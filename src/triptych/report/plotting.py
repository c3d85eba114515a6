"""Plotting, shared by reports and papers: what a small panel shows, as data, with its axes and their ticks.

`drawing` makes inline SVG of a panel for a page, and `pdf` makes files. Frameworks differ by colour (after Okabe and
Ito, "Color universal design", 2008), by line style and by marker, never by colour alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triptych.text import number

PAPER = ["#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#555555"]
INKS = {"ink": "#000000", "muted": "#444444", "line": "#dddddd"}
"""On paper; on a page they are its variables."""
LINE = 1.6
FONT_SIZE = 9
DASHES = [(), (5, 1.6), (1.2, 1.2), (6, 1.5, 1.2, 1.5), (9, 2), (3, 1, 1, 1, 1, 1)]
"""Stroke, gap, stroke and so on, in line widths."""
MARKERS = ["o", "s", "^", "D", "v", "P"]
POINTS_PER_INCH = 72
MARGIN = 0.05
"""What an axis is longer than its data, at each end, as a share of their length."""
LARGEST = 1e200
"""Values beyond are drawn at this one, since the length of an axis must be a number; on a log axis, those nearer to 0
than its inverse are drawn at that.
"""

Colour = int | str
"""A framework's place in its study, or "ink", "muted" or "line"."""
Track = list[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Mark:
    """A line through the points (x, y) if it has a width, and the marker at each, if any: one of `MARKERS`, or "x".

    `dashed` is the place of a framework whose line style it takes. Widths, and the marker's size, are in points.
    """

    x: Sequence[float]
    y: Sequence[float]
    colour: Colour
    width: float = 0.0
    dashed: int = 0
    marker: str = ""
    size: float = 4.5
    opacity: float = 1.0
    label: str = ""


@dataclass(frozen=True)
class Band:
    """The area between two lines, `low` and `high`, at `x`."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: Colour
    opacity: float = 0.18


@dataclass(frozen=True)
class Bars:
    """Bars at heights `y`, from `start` to each of `ends`, filled or as outlines."""

    y: Sequence[float]
    ends: Sequence[float]
    start: float
    colour: Colour
    filled: bool = True
    thickness: float = 0.3
    label: str = ""


@dataclass(frozen=True)
class Words:
    """A text below the point (x, y), centred."""

    x: float
    y: float
    text: str


Shown = Mark | Band | Bars | Words


@dataclass(frozen=True)
class Axis:
    """One axis of a panel; without limits it reaches as far as what is drawn, and a little further.

    Whatever is drawn must lie within limits that are given; `low` may be the larger one. `ticks` are values with their
    labels; without, they are chosen, at whole numbers if the values are counts (`whole`). On a `log` axis, what is not
    positive is drawn at its lower end.
    """

    label: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None
    ticks: Mapping[float, str] | None = None
    whole: bool = False
    grid: bool = True


@dataclass(frozen=True)
class Panel:
    """One small figure: what it shows, and its words for those who do not see it; its height is in inches."""

    title: str
    alt: str
    shown: list[Shown]
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    height: float = 2.3


@dataclass(frozen=True)
class Scale:
    """An axis with limits and with ticks."""

    low: float
    high: float
    log: bool
    ticks: Mapping[float, str]

    def at(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return (_decades(value) - low) / (high - low) if value > 0 else 0.0
        return (max(-LARGEST, min(LARGEST, value)) - self.low) / (self.high - self.low)


def _decades(value: float) -> float:
    return math.log10(max(1 / LARGEST, min(LARGEST, value)))


def track_of(lines: list[list[tuple[float, float]]]) -> Track:
    """(x, mean, lowest, highest) over the seeds' lines at each x that one of them has."""
    points: dict[float, list[float]] = {}
    for x, y in itertools.chain(*lines):
        points.setdefault(x, []).append(y)
    return [(x, sum(v) / len(v), min(v), max(v)) for x, v in sorted(points.items())]


def tracked(track: Track, place: int, marker: bool = True, label: str = "") -> list[Shown]:
    """The line of a framework's track, with the band from lowest to highest."""
    x, mean, low, high = zip(*track, strict=True)
    shape = MARKERS[place % len(MARKERS)] if marker else ""
    return [Band(x, low, high, place), Mark(x, mean, place, width=LINE, dashed=place, marker=shape, label=label)]


def rows_axis(names: Sequence[str]) -> Axis:
    """A vertical axis with a row for each name, downwards from 0."""
    return Axis(low=len(names) - 0.5, high=-0.5, ticks=dict(enumerate(names)), grid=False)


def scales(panel: Panel) -> tuple[Scale, Scale]:
    """The horizontal and the vertical axis of a panel."""
    x: list[float] = []
    y: list[float] = []
    for mark in panel.shown:
        match mark:
            case Mark():
                x += mark.x
                y += mark.y
            case Band():
                x += mark.x
                y += (*mark.low, *mark.high)
            case Bars():
                x += (*mark.ends, mark.start)
                y += mark.y
            case Words():
                pass
    rows = max(2, min(5, int(panel.height * 2.6)))
    return _scale(panel.x, x, most=4), _scale(panel.y, y, most=rows)


def _scale(axis: Axis, values: list[float], most: int) -> Scale:
    """An axis that holds these values, with at most so many intervals between its ticks."""
    log = axis.log and max(values, default=0.0) > 0
    low, high = _limits(values, log)
    low, high = low if axis.low is None else axis.low, high if axis.high is None else axis.high
    ticks = axis.ticks
    if ticks is None:
        chosen = _ticks(low, high, log, axis.whole, most)
        ticks = dict(zip(chosen, tick_labels(chosen), strict=True))
    return Scale(low=low, high=high, log=log, ticks=ticks)


def _limits(values: list[float], log: bool) -> tuple[float, float]:
    """As far as the values reach, and a little further; never a single point."""
    if log:
        known = [_decades(value) for value in values if value > 0]
        low, high = min(known), max(known)
        margin = min(MARGIN * (high - low) or MARGIN, 1.0)
        return 10.0 ** (low - margin), 10.0 ** (high + margin)
    low, high = max(-LARGEST, min(values, default=0.0)), min(LARGEST, max(values, default=1.0))
    margin = MARGIN * (high - low)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = MARGIN * max(abs(low), abs(high)) or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float, log: bool, whole: bool, most: int) -> list[float]:
    """Round values between the ends: on a log axis 1, 2 and 5 of each decade, or 1 where there are many decades."""
    from matplotlib.ticker import LogLocator, MaxNLocator  # without a figure, so its import is quick

    def within(found: Any) -> list[float]:
        slack = 1e-9 * abs(high - low)
        return [float(x) for x in found if low - slack <= x <= high + slack]

    if log:
        decades = LogLocator(base=10, subs=(1,) if high > 200 * low else (1, 2, 5))
        if len(found := within(decades.tick_values(low, high))) > 1:
            return found
    return within(MaxNLocator(most, integer=whole, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))


def tick_labels(values: Sequence[float]) -> list[str]:
    """Short numbers for the ticks of an axis, with as many digits as it takes to tell them apart."""
    found: list[str] = []
    for digits in range(3, 10):
        found = [number(value, digits, short=True) for value in values]
        if len(set(found)) == len({float(value) for value in values}):
            break
    return found


def dash(index: int) -> Any:
    """A framework's line style: stroke, gap and so on, in line widths; empty for a solid line."""
    return DASHES[index % len(DASHES)]
