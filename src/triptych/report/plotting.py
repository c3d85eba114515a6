"""Plotting, shared by reports and papers: small panels as inline SVG for a page or as a file that stands alone.

One drawing serves both. For the page it is made in stand-in colours, which are then exchanged for the page's
CSS variables, so that a figure follows the reader's light or dark scheme. Frameworks differ by colour (after
Okabe and Ito, "Color universal design", 2008), by line style and by marker, never by colour alone.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from markupsafe import Markup, escape

from triptych.text import number

PAPER = ["#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#555555"]
LINE = 1.6
FONT = "font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif"
DASHES = [(), (5, 1.6), (1.2, 1.2), (6, 1.5, 1.2, 1.5), (9, 2), (3, 1, 1, 1, 1, 1)]
"""Stroke, gap, stroke and so on, in line widths."""
MARKERS = ["o", "s", "^", "D", "v", "P"]
_STAND_INS = {"#010203": "var(--ink)", "#010204": "var(--muted)", "#010205": "var(--line)"}
_SERIES = [f"#0a0b{i:02x}" for i in range(len(PAPER))]
_RC = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "ytick.minor.size": 0,
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Ink:
    """The colours one drawing is made in: text, secondary text, hair lines, and one a framework."""

    text: str
    muted: str
    line: str
    series: list[str]


ON_PAGE = Ink(text="#010203", muted="#010204", line="#010205", series=_SERIES)
ON_PAPER = Ink(text="#000000", muted="#444444", line="#dddddd", series=PAPER)
Draw = Callable[[Any, Ink], None]
Track = list[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Panel:
    """One small figure: what it shows, how it is drawn, and its words for those who do not see it."""

    title: str
    alt: str
    draw: Draw
    height: float = 2.3


def track_of(lines: list[list[tuple[float, float]]]) -> Track:
    """(x, mean, lowest, highest) over the seeds' lines at each x that one of them has."""
    points: dict[float, list[float]] = {}
    for x, y in itertools.chain(*lines):
        points.setdefault(x, []).append(y)
    return [(x, sum(v) / len(v), min(v), max(v)) for x, v in sorted(points.items())]


def dash(index: int) -> Any:
    """A framework's line style, as Matplotlib takes it."""
    style = DASHES[index % len(DASHES)]
    return (0, style) if style else "-"


def ticker() -> Any:
    import matplotlib.ticker

    return matplotlib.ticker


def style_axes(axes: Any, ink: Ink) -> None:
    """Quiet axes: hair lines, secondary ink, short numbers without mathematics."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_short_numbers())
        axis.set_minor_formatter(ticker().NullFormatter())
    axes.tick_params(colors=ink.muted, labelcolor=ink.muted, width=0.7)
    axes.grid(visible=True, color=ink.line, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(ink.line)


def tick_labels(values: Sequence[float]) -> list[str]:
    """Short numbers for the ticks of an axis, with as many digits as it takes to tell them apart."""
    found: list[str] = []
    for digits in range(3, 10):
        found = [number(value, digits, short=True) for value in values]
        if len(set(found)) == len({float(value) for value in values}):
            break
    return found


def _short_numbers() -> Any:
    class ShortNumbers(ticker().Formatter):
        def __call__(self, value: float, pos: int | None = None) -> str:
            return number(value, 3, short=True)

        def format_ticks(self, values: Sequence[float]) -> list[str]:
            return tick_labels(values)

    return ShortNumbers()


@contextmanager
def drawing(salt: str = "") -> Iterator[Any]:
    """matplotlib's settings for one figure; a glyph that its font lacks is no reason to stop."""
    import matplotlib
    from matplotlib.figure import Figure

    settings = cast(Any, _RC | {"svg.hashsalt": f"triptych{salt}"})
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield Figure


def svg(panel: Panel, salt: str = "") -> Markup:
    """The panel as an inline `<svg>` in the page's own colours, sized by its box.

    The ids inside are derived from the drawing and `salt`, which must be another for each figure of a page.
    """
    with drawing(salt) as figure_of:
        figure = figure_of(figsize=(3.6, panel.height), layout="constrained")
        panel.draw(figure.add_subplot(), ON_PAGE)
        sheet = io.StringIO()
        figure.savefig(sheet, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub(
        r"^.*?(?=<svg)|<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->",
        "",
        sheet.getvalue(),
        flags=re.S,
    )
    text = re.sub(r'<g id="[^"]*"', "<g", text).replace("xlink:href", "href")
    text = re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", text, count=1)
    text = re.sub(
        r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), re.sub(r">\s+<", "><", text)
    ).strip()
    for stand_in, colour in [*_STAND_INS.items(), *((s, f"var(--f{i})") for i, s in enumerate(_SERIES))]:
        text = text.replace(stand_in, colour)
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(panel.alt)}" ', 1))


def svgs(panels: list[Panel], place: str) -> list[tuple[str, Markup]]:
    """The panels' titles and drawings; `place` tells this list from the others on the page."""
    return [(panel.title, svg(panel, f"{place}/{number}")) for number, panel in enumerate(panels)]


def standalone(svg: str) -> str:
    """An inline `<svg>` as a document: real colours for the page's variables, on white, with its own size and font."""
    inks = {"ink": ON_PAPER.text, "muted": ON_PAPER.muted, "line": ON_PAPER.line}
    for name, colour in [*inks.items(), *((f"f{i}", colour) for i, colour in enumerate(ON_PAPER.series))]:
        svg = svg.replace(f"var(--{name})", colour)
    left, top, width, height = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', svg).groups()  # pyright: ignore
    size = f'xmlns="http://www.w3.org/2000/svg" width="{float(width) * 2:g}" height="{float(height) * 2:g}"'
    paper = f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#ffffff"/>'
    svg = svg.replace("<svg ", f'<svg {size} style="{FONT}" ', 1).replace(">", f">{paper}", 1)
    return re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 system-ui, 'DejaVu Sans', sans-serif", svg)
