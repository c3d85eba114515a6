"""Numbers for people: score cells with intervals, and the same as CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from triptych import stats
from triptych.report.collect import Row, Study
from triptych.sentences import display
from triptych.words import MINUS, finite, number

BETTER = {"lower": "↓ lower is better", "higher": "↑ higher is better", "none": "no direction is better"}


@dataclass(frozen=True)
class Cell:
    """One metric of one framework: mean over seeds with its 95 % t interval, or the reason there is none."""

    values: list[tuple[int, float]]  # (seed, value)
    mean: float | None
    low: float | None
    high: float | None
    reasons: list[tuple[int, str]]  # (seed, why undefined)
    leads: bool = False

    @property
    def text(self) -> str:
        """ "12.3 [11.9, 12.7]", or the reason."""
        if self.mean is None:
            return (
                "undefined: " + "; ".join(dict.fromkeys(r for _, r in self.reasons)) if self.reasons else "not measured"
            )
        return number(self.mean) + (f" {self.interval}" if self.interval else "")

    @property
    def interval(self) -> str:
        return f"[{number(self.low)}, {number(self.high)}]" if self.low is not None and self.high is not None else ""


def scores(study: Study, condition: str) -> dict[tuple[str, str], Cell]:
    """(metric, framework) to its cell, for every pair."""
    names = [m["metric"] for m in study.metrics]
    return {(name, f): _cell(study, condition, name, f) for name in names for f in study.frameworks}


def _cell(study: Study, condition: str, metric: str, framework: str) -> Cell:
    rows = [
        s for s in study.scores
        if s["metric"] == metric and s["framework"] == framework and (s.get("condition") or "") == condition
    ]  # fmt: skip
    rows.sort(key=lambda s: s.get("seed", 0))
    values = [(s.get("seed", 0), x) for s in rows if (x := finite(s.get("value"))) is not None]
    valueless = [s for s in rows if finite(s.get("value")) is None]
    reasons = [(s.get("seed", 0), s.get("undefined") or "no finite value") for s in valueless]
    if not values:
        return Cell([], None, None, None, reasons)
    mean = stats.mean([x for _, x in values])
    return Cell(values, mean.point, mean.low, mean.high, reasons, _leads(study, condition, metric, framework))


def _leads(study: Study, condition: str, metric: str, framework: str) -> bool:
    """Whether the verdicts put this framework above each of the others that has a value."""
    won = beaten(study.verdicts_of(metric, condition))
    rivals = [v for v in study.verdicts_of(metric, condition) if framework in (v["a"], v["b"])]
    others = {v["b"] if v["a"] == framework else v["a"] for v in rivals if v["verdict"] != "undefined"}
    return bool(others) and all((framework, other) in won for other in others)


def beaten(verdicts: list[Row]) -> set[tuple[str, str]]:
    """The decided pairs as (winner, loser)."""
    won = {(v["a"], v["b"]) for v in verdicts if v["verdict"] == "better"}
    return won | {(v["b"], v["a"]) for v in verdicts if v["verdict"] == "worse"}


def as_csv(study: Study) -> str:
    """One line a condition, metric and framework: mean, interval, seeds, or the reason there is no value."""
    sheet = io.StringIO()
    out = csv.writer(sheet, lineterminator="\n")
    out.writerow(
        [
            "condition",
            "metric",
            "label",
            "unit",
            "better",
            "framework",
            "n",
            "mean",
            "low",
            "high",
            "undefined",
        ]
    )
    for condition in study.conditions:
        cells = scores(study, condition)
        for m in study.metrics:
            for f in study.frameworks:
                c = cells[m["metric"], f]
                why = "; ".join(dict.fromkeys(r for _, r in c.reasons))
                known = [
                    m["metric"],
                    m.get("label", ""),
                    m.get("unit", ""),
                    m.get("better", ""),
                    f,
                    len(c.values),
                ]
                out.writerow([condition, *known, *("" if x is None else repr(x) for x in (c.mean, c.low, c.high)), why])
    return sheet.getvalue()


def as_tex(study: Study) -> str:
    """The score table for a paper, one tabular a condition; needs the package booktabs."""
    parts = ["% Means over seeds with 95 % t intervals. Needs \\usepackage{booktabs}."]
    for condition in study.conditions:
        cells = scores(study, condition)
        parts += [f"% {condition}".replace("\n", " ")] if condition else []
        parts += ["\\begin{tabular}{l" + "l" * len(study.frameworks) + "}", "\\toprule"]
        parts += [
            " & ".join(["Metric", *(_tex(display(f)) for f in study.frameworks)]) + " \\\\",
            "\\midrule",
        ]
        for m in study.metrics:
            arrow = {"lower": " $\\downarrow$", "higher": " $\\uparrow$"}.get(m.get("better", ""), "")
            cols = [_tex_cell(cells[m["metric"], f]) for f in study.frameworks]
            parts.append(" & ".join([_tex(m.get("label") or m["metric"]) + arrow, *cols]) + " \\\\")
        parts += ["\\bottomrule", "\\end{tabular}"]
    return "\n".join(parts) + "\n"


def _tex_cell(cell: Cell) -> str:
    if cell.mean is None:
        return "--"
    text = _tex(number(cell.mean)) + (f" {{\\small {_tex(cell.interval)}}}" if cell.interval else "")
    return f"\\textbf{{{text}}}" if cell.leads else text


def _tex(text: str) -> str:
    """Text with everything that LaTeX reads as a command made harmless."""
    special = {c: "\\" + c for c in "&%$#_{}"} | {
        "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}",
        ">": "\\textgreater{}", MINUS: "$-$", "\N{NARROW NO-BREAK SPACE}": "\\,", "\n": " ", "é": "\\'e",
    }  # fmt: skip
    return "".join(special.get(c, c) for c in text)
