"""Certainty: how many comparisons are decided, what their verdicts rest on, and at what risk."""

from __future__ import annotations

import statistics

from triptych.report.collect import Row, Study
from triptych.text import MINUS, count, finite, listed, number
from triptych.verdicts import planning
from triptych.verdicts.wording import display, risk_of


def certainty(study: Study) -> str:
    """How certain the decided comparisons are, and how many are undecided."""
    primary = {m["metric"] for m in study.metrics if m.get("role") == "primary"}
    made = [v for v in study.verdicts if v["metric"] in primary]
    counts = {
        w: sum(v["verdict"] == w for v in made) for w in ("better", "worse", "equivalent", "undecided", "undefined")
    }
    decided = counts["better"] + counts["worse"]
    if len(study.frameworks) == 1:
        return f"{display(study.frameworks[0])} is the only framework here: there is nothing to compare it with."
    if not made:
        return "No comparison has been made yet, so nothing is decided."
    text = f"Of {len(made)} primary comparisons, {decided} are decided"
    rest = [f"{counts[w]} {w}" for w in ("equivalent", "undecided", "undefined") if counts[w]]
    text += (f", {listed(rest)}" if rest else "") + ". "
    looks = study.config.get("looks") or []
    if looks:
        last = "the last" if len(study.seeds) >= looks[-1] else "not the last"
        text += f"Looks at {listed(list(map(str, looks)))} seeds were planned, and this is {last}. "
    return text.strip()


def risks(study: Study, condition: str) -> list[str]:
    """Each framework's risk: how many of its runs failed, and how many may."""
    found: dict[str, Row] = {}
    for verdict in study.verdicts_of(None, condition):
        found |= verdict.get("risks") or {}
    sound: dict[int, list[str]] = {}
    for framework in study.frameworks:
        if framework in found and not found[framework]["failed"]:
            sound.setdefault(found[framework]["runs"], []).append(framework)
    shown = [f for f in study.frameworks if f in found and found[f]["failed"]]
    meaning = ["A run fails if it diverges or collapses."] if found else []
    return (
        [f"{risk_of(**found[f], name=display(f))}." for f in shown]
        + [
            f"{listed([display(f) for f in names])}{', each' if len(names) > 1 else ''}: {risk_of(**found[names[0]])}."
            for names in sound.values()
        ]
        + meaning
    )


def legend(study: Study) -> str:
    """What the marks of decided verdicts mean; empty where there are none."""
    seen = {v.get("rests_on") for v in study.verdicts}
    exact = planning.seeds_without_assumptions(
        study.metrics, len(study.frameworks), len(study.config.get("looks") or ())
    )
    words = {
        "◆": "confirmed without assumptions, by an exact test" if seen & {"signs", "counts"} else "",
        "◇": f"assumes that seeds scatter normally; from {exact} seeds on, an exact test can confirm what they agree on"
        if "normal" in seen
        else "",
    }
    return "; ".join(f"{mark} {meaning}" for mark, meaning in words.items() if meaning)


def basis(study: Study) -> str:
    """What the verdicts rest on: pairs, intervals and levels."""
    return (
        "Next to a card's values are the lowest and the highest seed. Comparisons are paired by seed. Intervals are "
        'those of each comparison alone, at 95 %, so one may leave out "no difference" next to an undecided verdict. '
        f"{levels(study)}"
    )


def levels(study: Study) -> str:
    """What p-values are adjusted for."""
    return (
        f"Each topic is judged at its own level{level(study)}: p-values are adjusted (Holm) for the comparisons "
        "within a topic, primary and secondary measures apart, and not over all topics."
    )


def level(study: Study) -> str:
    """The level of the verdicts, as " of 5 %"; empty if they do not tell."""
    alphas = {x for v in study.verdicts if (x := finite(v.get("alpha"))) is not None}
    return f" of {number(100 * alphas.pop(), 3)} %" if len(alphas) == 1 else ""


def pairing(study: Study) -> str:
    """Whether pairing by seed gains anything; empty where too few seeds tell."""
    alike = sorted(x for v in study.verdicts if (x := finite(v.get("correlation"))) is not None)
    if not alike:
        return ""
    middle = statistics.median(alike)
    gains = "so pairing gains" if middle > 0.2 else "so pairing gains little"
    return (
        f"Comparisons are paired by seed: over {count(len(alike), 'comparison')}, the correlation of two frameworks at "
        f"one seed is {middle:.1f} (median; {alike[0]:.1f} to {alike[-1]:.1f}), {gains}.".replace("-", MINUS)
    )
