"""A report's figures as PDF, on request: sheets of panels, and grids of pictures.

matplotlib takes seconds for them, so a sheet that shows what the file shows already is not drawn again.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from triptych import imagefile, store
from triptych.report import plotting
from triptych.report.plotting import (
    FONT_SIZE,
    INKS,
    MARKERS,
    PAPER,
    Axis,
    Band,
    Bars,
    Colour,
    Mark,
    Panel,
    Scale,
    Words,
    dash,
    scales,
)
from triptych.verdicts.wording import display

_RC = {
    "text.parse_math": False,
    "font.size": FONT_SIZE,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "pdf.fonttype": 42,
}


@contextmanager
def _drawing() -> Iterator[Any]:
    """matplotlib's settings for one figure; a glyph that its font lacks is no reason to stop."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(cast(Any, _RC)), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield Figure


def panels(shown: Sequence[Panel], path: Path, frameworks: list[str], draw: bool = True) -> bool:
    """All panels on one sheet, three in a row, with a legend; whether the file shows them, drawn or not."""
    names = [display(framework) for framework in frameworks]
    mark = _mark_of(shown, names)
    if _shows(path, mark) or not draw:
        return _shows(path, mark)
    columns, rows = min(3, len(shown)), -(-len(shown) // 3)
    with _drawing() as figure_of:
        from matplotlib.lines import Line2D

        figure = figure_of(figsize=(3.4 * columns, 0.4 + shown[0].height * rows), layout="constrained")
        for index, panel in enumerate(shown, start=1):
            axes = figure.add_subplot(rows, columns, index)
            _draw(axes, panel)
            axes.set_title(panel.title, fontsize=FONT_SIZE, loc="left")
        keys = [
            Line2D([], [], color=_colour(i), linestyle=_style(i), marker=MARKERS[i % len(MARKERS)], label=name)
            for i, name in enumerate(names)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=min(4, len(keys)), frameon=False)
        _save(figure, path, mark)
    return True


def pictures(shown: Sequence[tuple[str, Path]], path: Path, draw: bool = True) -> bool:
    """Grids side by side under their titles; whether the file shows them, as in `panels`."""
    mark = _mark_of([(title, store.sha256(source.read_bytes())) for title, source in shown])
    if _shows(path, mark) or not draw:
        return _shows(path, mark)
    with _drawing() as figure_of:
        figure = figure_of(figsize=(2.6 * len(shown), 2.9), layout="constrained")
        for index, (title, source) in enumerate(shown, start=1):
            axes = figure.add_subplot(1, len(shown), index)
            with imagefile.open_image(source) as image:
                axes.imshow(image.convert("RGB"), interpolation="none")
            axes.set_title(title, fontsize=FONT_SIZE)
            axes.set_axis_off()
        _save(figure, path, mark)
    return True


def _mark_of(*shown: Any) -> str:
    """A text that differs where what a file shows differs, or how it is drawn; it is kept in the file."""
    code = [Path(module).read_bytes() for module in (__file__, plotting.__file__)]
    return hashlib.sha256(repr((code, shown)).encode()).hexdigest()


def _shows(path: Path, mark: str) -> bool:
    """Whether the file has been drawn from the same."""
    return path.is_file() and mark.encode() in path.read_bytes()


def _save(figure: Any, path: Path, mark: str) -> None:
    """The figure as PDF, without the date and versions that would change its bytes."""
    sheet = io.BytesIO()
    kept = {"CreationDate": None, "Creator": None, "Producer": None, "Keywords": mark}
    figure.savefig(sheet, format="pdf", metadata=kept)
    store.write(path, sheet.getvalue())


def _colour(colour: Colour) -> str:
    return INKS[colour] if isinstance(colour, str) else PAPER[colour % len(PAPER)]


def _style(place: int) -> Any:
    """A framework's line style, as matplotlib takes it."""
    return (0, dash(place)) if dash(place) else "-"


def _draw(axes: Any, panel: Panel) -> None:
    """Draw a panel into matplotlib's axes."""
    for mark in panel.shown:
        match mark:
            case Mark():
                style = {"color": _colour(mark.colour), "alpha": mark.opacity, "clip_on": False}
                if mark.width:
                    axes.plot(mark.x, mark.y, linestyle=_style(mark.dashed), linewidth=mark.width, **style)
                if mark.marker:
                    edge = 2 if mark.marker == "x" else 0
                    axes.plot(mark.x, mark.y, mark.marker, markersize=mark.size, mew=edge, **style)
            case Band():
                colour = _colour(mark.colour)
                axes.fill_between(mark.x, mark.low, mark.high, color=colour, alpha=mark.opacity, linewidth=0)
            case Bars() | Words():
                raise TypeError(f"{type(mark).__name__} are for pages only")
    x, y = scales(panel)
    _axis(axes, "x", panel.x, x)
    _axis(axes, "y", panel.y, y)
    axes.tick_params(colors=INKS["line"], labelcolor=INKS["muted"], width=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(INKS["line"])


def _axis(axes: Any, name: str, axis: Axis, scale: Scale) -> None:
    """Give matplotlib's axes the limits and ticks of one axis."""
    if scale.log:
        axes.set(**{f"{name}scale": "log"})
    axes.set(**{f"{name}lim": (scale.low, scale.high)})
    place = getattr(axes, f"{name}axis")
    place.set_ticks(list(scale.ticks), list(scale.ticks.values()))
    place.set_ticks([], minor=True)
    place.set_label_text(axis.label, color=INKS["muted"])
    if axis.grid:
        axes.grid(visible=True, axis=name, color=INKS["line"], linewidth=0.6)
