"""Numbers for people: score cells with intervals, and the same as CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import dataclass, field

from triptych.report.collect import Row, Study
from triptych.text import MINUS, finite, number
from triptych.verdicts import scales, stats
from triptych.verdicts.scales import scale_of
from triptych.verdicts.wording import display

BETTER = {"lower": "↓ lower is better", "higher": "↑ higher is better", "none": "no direction is better"}


@dataclass(frozen=True)
class Cell:
    """One metric of one framework: its typical value over seeds with its 95 % interval, or the reason there is none.

    Both are taken on the metric's scale (`triptych.verdicts.scales`), so the mean of distances is geometric, and no
    interval leaves the range of its values. With it come the standard error over images (the mean over seeds), both
    baselines, the numbers of images, the feature extractors and the notes, all that were seen.
    """

    values: list[tuple[int, float]] = field(default_factory=list)  # (seed, value)
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    reasons: list[tuple[int, str]] = field(default_factory=list)  # (seed, why undefined)
    leads: bool = False
    error: float | None = None
    real_baseline: float | None = None
    noise_baseline: float | None = None
    images: list[int] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """ "12.3 [11.9, 12.7]", or the reason."""
        if self.mean is None:
            return f"undefined: {self.why}" if self.reasons else "not measured"
        return number(self.mean) + (f" {self.interval}" if self.interval else "")

    @property
    def interval(self) -> str:
        return f"[{number(self.low)}, {number(self.high)}]" if self.low is not None and self.high is not None else ""

    @property
    def spread(self) -> str:
        """The lowest and the highest value of a seed."""
        known = [value for _, value in self.values]
        return f"{number(min(known), 3)} to {number(max(known), 3)}"

    @property
    def nearer_to_noise(self) -> bool:
        """Whether the typical value is nearer to what noise scores than to what real images score."""
        if self.mean is None or self.real_baseline is None or self.noise_baseline is None:
            return False
        return abs(self.mean - self.noise_baseline) < abs(self.mean - self.real_baseline)

    @property
    def why(self) -> str:
        """The reasons why seeds have no value, each once."""
        return "; ".join(dict.fromkeys(reason for _, reason in self.reasons))


Cells = dict[tuple[str, str], Cell]


def scores(study: Study, condition: str) -> Cells:
    """(metric, framework) to its cell, for every pair."""
    rows, found = study.scores_of(condition), {}
    for metric in study.metrics:
        name = metric["metric"]
        verdicts = study.verdicts_of(name, condition)
        found |= {(name, f): _cell(rows.get((name, f), []), metric, leads(verdicts, f)) for f in study.frameworks}
    return found


def _cell(rows: list[Row], metric: Row, first: bool) -> Cell:
    scale = scale_of(metric.get("scale"))
    values = [(s.get("seed", 0), x) for s in rows if (x := finite(s.get("value"))) is not None]
    valueless = [s for s in rows if finite(s.get("value")) is None]
    reasons = [(s.get("seed", 0), s.get("undefined") or "no finite value") for s in valueless]
    errors = [x for s in rows if (x := finite(s.get("error"))) is not None]
    images = sorted({int(n) for s in rows if (n := finite(s.get("n"))) is not None})
    compared = [
        scales.resolved(scale, x, finite(s.get("error"))) for s in rows if (x := finite(s.get("value"))) is not None
    ]
    n, bounds = images[0] if images else None, (finite(metric.get("minimum")), finite(metric.get("maximum")))
    mean = scales.mean(scale, compared, images=n, bounds=bounds) if values else None
    return Cell(
        values=values,
        mean=mean and mean.point,
        low=mean and mean.low,
        high=mean and mean.high,
        reasons=reasons,
        leads=first and bool(values),
        error=stats.mean(errors).point if errors else None,
        real_baseline=next((x for s in rows if (x := finite(s.get("real_baseline"))) is not None), None),
        noise_baseline=next((x for s in rows if (x := finite(s.get("noise_baseline"))) is not None), None),
        images=images,
        features=seen(rows, "features"),
        notes=_notes(rows),
    )


def _notes(rows: list[Row]) -> list[str]:
    """The note that comes with every seed, or where it differs the first seed's as an example of it."""
    notes = seen(rows, "note")
    first = next((row for row in rows if row.get("note")), {})
    return notes if len(notes) < 2 else [f"seed {first.get('seed', 0)}: {notes[0]}"]


def seen(rows: list[Row], key: str) -> list[str]:
    """The texts that lines of scores.jsonl have in a field, each once."""
    return list(dict.fromkeys(str(row[key]) for row in rows if row.get(key)))


def leads(verdicts: list[Row], framework: str) -> bool:
    """Whether one metric's verdicts put this framework above each of the others that has a value."""
    won = beaten(verdicts)
    rivals = [v for v in verdicts if framework in (v["a"], v["b"]) and v["verdict"] != "undefined"]
    others = {v["b"] if v["a"] == framework else v["a"] for v in rivals}
    return bool(others) and all((framework, other) in won for other in others)


def beaten(verdicts: list[Row]) -> set[tuple[str, str]]:
    """The decided pairs as (winner, loser)."""
    won = {(v["a"], v["b"]) for v in verdicts if v["verdict"] == "better"}
    return won | {(v["b"], v["a"]) for v in verdicts if v["verdict"] == "worse"}


def as_csv(study: Study, cells: dict[str, Cells]) -> str:
    """One line per condition, metric and framework: mean, interval, seeds (n) and what comes with them, or the reason.

    `cells` are the scores by condition.
    """
    numbers = ("mean", "low", "high", "error", "real_baseline", "noise_baseline")
    known = ["condition", "metric", "label", "unit", "better", "framework", "n"]
    sheet = io.StringIO()
    table = csv.DictWriter(sheet, [*known, *numbers, "images", "features", "undefined"], lineterminator="\n")
    table.writeheader()
    for condition in study.conditions:
        for m, f in itertools.product(study.metrics, study.frameworks):
            c = cells[condition][m["metric"], f]
            table.writerow(
                {
                    "condition": condition,
                    **{key: m.get(key, "") for key in ("metric", "label", "unit", "better")},
                    "framework": f,
                    "n": len(c.values),
                    **{name: getattr(c, name) for name in numbers},
                    "images": " ".join(map(str, c.images)),
                    "features": " ".join(c.features),
                    "undefined": c.why,
                }
            )
    return sheet.getvalue()


def as_tex(study: Study, cells: dict[str, Cells]) -> str:
    """The score table for a paper, one tabular per condition; needs the package booktabs."""
    parts = [
        "% Typical values over seeds (geometric means of distances), 95 % intervals. Needs \\usepackage{booktabs}.\n"
    ]
    header = ["Metric", *(_tex(display(f)) for f in study.frameworks)]
    for condition in study.conditions:
        rows = [
            [_tex_label(m), *(_tex_cell(cells[condition][m["metric"], f]) for f in study.frameworks)]
            for m in study.metrics
        ]
        parts += [f"% {condition}".replace("\n", " ") + "\n"] if condition else []
        lines = [" & ".join(row) + r" \\" for row in [header, *rows]]
        body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
        parts.append(f"\\begin{{tabular}}{{{'l' * len(header)}}}\n{body}\n\\end{{tabular}}\n")
    return "".join(parts)


def _tex_label(metric: Row) -> str:
    """A metric's label with an arrow to its better end."""
    arrow = {"lower": " $\\downarrow$", "higher": " $\\uparrow$"}.get(metric.get("better", ""), "")
    return _tex(str(metric.get("label") or metric["metric"])) + arrow


def _tex_cell(cell: Cell) -> str:
    if cell.mean is None:
        return "--"
    text = _tex(number(cell.mean)) + (f" {{\\small {_tex(cell.interval)}}}" if cell.interval else "")
    return f"\\textbf{{{text}}}" if cell.leads else text


def _tex(text: str) -> str:
    """Text with everything escaped that LaTeX reads as a command."""
    special = {c: "\\" + c for c in "&%$#_{}"} | {
        "\\": "\\textbackslash{}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
        "<": "\\textless{}",
        ">": "\\textgreater{}",
        MINUS: "$-$",
        "\N{NARROW NO-BREAK SPACE}": "\\,",
        "\n": " ",
        "é": "\\'e",
    }
    return "".join(special.get(c, c) for c in text)
