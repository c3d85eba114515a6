"""The score table line by line: each metric's cells, and next to them what makes a number readable.

That is the number of images, the features, both baselines (the same metric with other real images, and
with noise, in place of samples), a bar from the one to the other, and the notes as numbered footnotes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from triptych.report.collect import Row, Study
from triptych.report.tables import Cell, Cells
from triptych.report.topics import by_topic
from triptych.text import number
from triptych.topics import Topic
from triptych.verdicts.wording import display

SHAPES = [
    '<circle r="4"/>',
    '<rect x="-3.5" y="-3.5" width="7" height="7"/>',
    '<path d="M0-4.5 4.5 4h-9z"/>',
    '<path d="M0-5 5 0 0 5-5 0z"/>',
    '<path d="M0 4.5-4.5-4h9z"/>',
    '<path d="M0-4v8M-4 0h8"/>',
]
"""A framework's mark about the origin, in the order of the figures' markers."""
WIDE, HIGH, EDGE = 200, 18, 7
DECADE = 30
"""A bar is logarithmic where its numbers differ by more than this factor."""


@dataclass(frozen=True)
class Line:
    """One metric of the score table; `marks` are a framework's footnotes, by their place in the group's notes."""

    metric: Row
    cells: dict[str, Cell]
    images: str
    features: list[str]
    real_baseline: float | None
    noise_baseline: float | None
    bar: Markup
    log: bool
    marks: dict[str, list[int]]


@dataclass(frozen=True)
class Group:
    """The lines that bear on one topic."""

    topic: Topic
    primary: list[Line] = field(default_factory=list)
    secondary: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def groups(study: Study, cells: Cells) -> list[Group]:
    """The score table by topic, primary metrics apart from the others."""
    found = []
    for topic, metrics in by_topic(study).items():
        group = Group(topic)
        for metric in metrics:
            line = _line(metric, {f: cells[metric["metric"], f] for f in study.frameworks}, group.notes)
            (group.primary if metric.get("role") == "primary" else group.secondary).append(line)
        found.append(group)
    return found


def _line(metric: Row, cells: dict[str, Cell], notes: list[str]) -> Line:
    """One line; the notes of its cells are added to `notes`."""
    notes += [n for n in dict.fromkeys(n for c in cells.values() for n in c.notes) if n not in notes]
    images = sorted({n for c in cells.values() if c.values for n in c.images})
    real_baseline = next((c.real_baseline for c in cells.values() if c.real_baseline is not None), None)
    noise_baseline = next((c.noise_baseline for c in cells.values() if c.noise_baseline is not None), None)
    means = {f: c.mean for f, c in cells.items() if c.mean is not None}
    drawn, log = bar(means, real_baseline, noise_baseline, list(cells))
    return Line(
        metric=metric,
        cells=cells,
        images=" to ".join(number(n, 8) for n in (images[:1] + images[1:][-1:])),
        features=list(dict.fromkeys(name for c in cells.values() for name in c.features)),
        real_baseline=real_baseline,
        noise_baseline=noise_baseline,
        bar=drawn,
        log=log,
        marks={f: [notes.index(n) + 1 for n in c.notes] for f, c in cells.items()},
    )


def bar(
    means: dict[str, float], real_baseline: float | None, noise_baseline: float | None, frameworks: list[str]
) -> tuple[Markup, bool]:
    """An inline `<svg>` with the means between real images (left) and noise (right), and whether it is logarithmic.

    Empty without a mean, or where the two baselines are not two different numbers.
    """
    if not means or real_baseline is None or noise_baseline is None or real_baseline == noise_baseline:
        return Markup(""), False
    every = [real_baseline, noise_baseline, *means.values()]
    log = min(every) > 0 and max(every) / min(every) > DECADE
    scale = math.log if log else float
    start, end = (
        scale(x) for x in ((min(every), max(every)) if real_baseline < noise_baseline else (max(every), min(every)))
    )

    def at(x: float) -> str:
        return f"{EDGE + (WIDE - 2 * EDGE) * (scale(x) - start) / (end - start):.1f}"

    ends = "".join(f'<line x1="{at(x)}" y1="2" x2="{at(x)}" y2="{HIGH - 2}"/>' for x in (real_baseline, noise_baseline))
    kinds = [(f, i % len(SHAPES)) for i, f in enumerate(frameworks) if f in means]
    marks = "".join(
        f'<g class="f{kind}" transform="translate({at(means[f])} {HIGH / 2:g})">{SHAPES[kind]}</g>' for f, kind in kinds
    )
    described = "; ".join(f"{display(f)} {number(x)}" for f, x in means.items())
    words = f"From real images, {number(real_baseline)}, to noise, {number(noise_baseline)}: {described}."
    axis = f'<line x1="{EDGE}" y1="{HIGH / 2:g}" x2="{WIDE - EDGE}" y2="{HIGH / 2:g}"/>'
    box = f'<svg class="bar" role="img" viewBox="0 0 {WIDE} {HIGH}" aria-label="{escape(words)}">'
    return Markup(f"{box}{axis}{ends}{marks}</svg>"), log
