"""The phrases of the reproduction's page and its Markdown: verdicts with their signs, limits, tables of quirks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from triptych.claims.engine import Claim, votes
from triptych.claims.judging import ALPHA, Part
from triptych.papers.vae_vs_gan_vs_vaegan.ablation import Effect, Measure
from triptych.papers.vae_vs_gan_vs_vaegan.content import TEXTS, Content, RunAt, families
from triptych.papers.vae_vs_gan_vs_vaegan.quirks import quirks_of
from triptych.papers.vae_vs_gan_vs_vaegan.rates import Point
from triptych.report import pages
from triptych.text import count, listed, number

SIGNS = {
    "holds": "✓",
    "holds where decided": "◕",
    "holds in part": "◐",
    "does not hold": "✗",
    "undecided": "?",
    "measured": "▪",
    "supported": "✓",
    "contradicted": "✗",
    "undefined": "–",
    "stable": "✓",
    "not stable": "✗",
    "inside": "✓",
    "outside": "✗",
    "makes it": "▲",
    "weakens it": "▼",
    "no effect shown": "·",
    "no change seen": "≈",
    "changes nothing": "=",
}
"""The sign before a verdict, so that no verdict is shown by its colour alone."""
COLOURS = {
    "good": ("holds", "supported", "stable", "inside"),
    "bad": ("does not hold", "contradicted", "not stable", "outside"),
    "part": ("holds where decided", "holds in part", "makes it", "weakens it"),
}
TALLIES = {
    "holds": ("holds", "hold"),
    "holds where decided": ("holds where decided", "hold where decided"),
    "holds in part": ("holds in part", "hold in part"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("remains undecided", "remain undecided"),
    "measured": ("was only announced and is measured here", "were only announced and are measured here"),
}
"""The verdicts on claims, as verbs after one claim and after several."""
REHEARSAL = 100
"""Steps below which no network has learned to draw."""


class Quirks(NamedTuple):
    """The quirks of one published result: what each does, and its effects by measure and kind."""

    base: str
    title: str
    measures: list[Measure]
    rows: list[tuple[str, str, dict[tuple[Measure, str], Effect]]]


class Surface(NamedTuple):
    """The rates as columns, and a line of settings for each framework and optimiser."""

    rates: list[float]
    lines: list[tuple[str, str, dict[float, Point]]]


def environment(markdown: bool = False) -> Environment:
    """The templates of this folder, with the phrases that both pages use."""
    made = pages.environment(Path(__file__).parent, markdown=markdown, undefined=StrictUndefined)
    made.filters |= {word.__name__: word for word in (sign, colour, with_failures, with_span, rate)}
    own = (tally, parts_of, quirks, surface, failed_runs, shown_first, votes, glossary, advice)
    made.globals |= {function.__name__: function for function in own}
    made.globals["studies"] = TEXTS["studies"]
    return made


def shared(content: Content) -> dict[str, Any]:
    """What both pages are rendered with."""
    given = {"contents": contents(content), "troubles": troubles(content), "limits": limits(content)}
    given |= {"multiplicity": multiplicity(content)}
    return {"content": content, **given}


def sign(verdict: str) -> str:
    """The sign before a verdict."""
    return SIGNS.get(verdict, "")


def colour(verdict: str) -> str:
    """The page's class for a verdict."""
    return next((name for name, words in COLOURS.items() if verdict in words), "muted")


def with_span(part: Part | Effect) -> str:
    """An estimate with its interval: "a factor of 0.29 (0.21 to 0.4)"."""
    return f"{part.amount} ({part.span})" if part.span else part.amount


def tally(claims: Iterable[Claim]) -> str:
    """Which claims got which verdict, in one sentence."""
    claims = list(claims)
    found = {verbs: [c.id for c in claims if c.verdict == verdict] for verdict, verbs in TALLIES.items()}
    parts = [f"{len(ids)} {verbs[len(ids) > 1]} ({', '.join(ids)})" for verbs, ids in found.items() if ids]
    return f"Of the paper's {count(len(claims), 'claim')}, {listed(parts)}."


def parts_of(claim: Claim, protocol: str) -> list[Part]:
    """The parts of a claim under one protocol."""
    return [part for part in claim.parts if part.protocol == protocol]


def shown_first(claim: Claim) -> list[Part]:
    """The matched parts that a short table shows: the first that decided the verdict, two where nothing was claimed."""
    parts = parts_of(claim, "matched")

    def first(*verdicts: str, n: int = 1) -> list[Part]:
        return [part for part in parts if part.verdict in verdicts][:n]

    match claim.verdict:
        case "measured":
            return first("measured", n=2)
        case "holds":
            return first("supported")
        case "does not hold":
            return first("contradicted")
        case "undecided":
            return first("undecided", "undefined")
    return first("supported") + (first("contradicted") or first("undecided"))


def with_failures(part: Part) -> str:
    """A part's finding, "Supported: 27 against 54, a factor of ...", and its failed runs."""
    return part.said("failures", "most failed")


def rate(value: float) -> str:
    """A learning rate written out: 0.000075."""
    return f"{value:.7f}".rstrip("0")


def failed_runs(failed: int | None, of: int, how: str) -> str:
    """How many of a cell's runs failed: "2 of 5 diverged"; empty without any."""
    return f"{failed} of {of} {how}" if failed else ""


def advice(claim: Claim, scale: RunAt) -> str:
    """What a claim's verdict means for someone choosing; nothing after a rehearsal."""
    return "No advice: this is a rehearsal." if rehearsal(scale) else claim.meaning


def multiplicity(content: Content) -> str:
    """How many families of tests there are, and how often a page would hold a false verdict if nothing differed."""
    number_of_families = families(content)
    if not number_of_families:
        return ""
    named = "1 family" if number_of_families == 1 else f"{number_of_families} families"
    share = 1 - (1 - ALPHA) ** number_of_families
    most = min(1.0, ALPHA * number_of_families)
    return (
        f"The tests of this page are in {named}; within each, "
        f"false verdicts are kept to {number(100 * ALPHA)} %. If nothing differed from anything, up to "
        f"{number(100 * share, 2)} % of pages like this would hold at least one false verdict "
        f"(families taken as independent; at most {number(100 * most, 3)} % if they are not)."
    )


def rehearsal(scale: RunAt) -> str:
    """A warning that runs of so few steps train nothing; empty for runs that train."""
    if scale.steps >= REHEARSAL:
        return ""
    steps = count(scale.steps, "step")
    return f"A rehearsal: {steps} per run train nothing, and verdicts say nothing about the frameworks."


def troubles(content: Content) -> list[str]:
    """What a reader must know before anything else: untrained networks, studies that are missing or incomplete."""
    ran = [e.study for e in content.runs]
    return [
        *filter(None, [rehearsal(content.scale)]),
        *(f"The study “{name}” has not been run: its part is missing." for name in TEXTS["studies"] if name not in ran),
        *(
            f"The study “{e.study}” is incomplete: {e.complete} of {count(e.planned, 'run')} are there. What is "
            "missing is undefined here, and verdicts may change."
            for e in content.runs
            if e.complete < e.planned
        ),
    ]


def glossary(content: Content) -> dict[str, str]:
    """What the page's measures and words mean."""
    better = {"lower": ", lower is better", "higher": ", higher is better", "none": ""}
    metrics = {f"{m.label} ({m.unit}{better[m.better]})": m.about for m in content.measures}
    return {**metrics, **TEXTS["terms"]}


def limits(content: Content) -> list[str]:
    """What the page cannot say."""
    if content.scale.full:
        return TEXTS["limits"]
    beta = (
        "As published, the weight of the VAE's prior is pixels / latents / 2 times that in the bound: 16 times at the "
        f"paper's size, {number(content.scale.size**2 / 256)} times at this one, which also has 128 latents."
    )
    return [*TEXTS["limits"], TEXTS["reduced"], beta]


def contents(content: Content) -> dict[str, str]:
    """The page's sections by id, in order; those without runs are left out."""
    parts = [
        ("claims", "Which claims hold", True),
        *((claim.id.lower(), claim.id, True) for claim in content.claims),
        ("table1", "Table 1, redone", bool(content.table1)),
        ("rates", "Five learning rates", bool(content.points)),
        ("tuned", "Equal tuning for all", bool(content.tuned)),
        ("speed", "Time to a score, training times, learning curves", bool(content.times or content.costs)),
        ("figures", "Figures 2 and 3, redone", bool(content.named("figure"))),
        ("quirks", "Which quirk caused which effect", bool(content.effects)),
        ("pictures", "More pictures", bool(content.named("samples"))),
        ("appendices", "Objectives, and appendices A to C", bool(content.appendices)),
        ("run", "How it was run", True),
        ("limits", "What could not be reproduced", True),
        ("files", "Files", True),
    ]
    return {name: title for name, title, has_content in parts if has_content}


def quirks(effects: list[Effect]) -> list[Quirks]:
    """The effects as one table for each published result."""
    tables = []
    for base, title in TEXTS["bases"].items():
        own = [effect for effect in effects if effect.base == base]
        rows = [(q.name, q.about, {(e.measure, e.kind): e for e in own if e.quirk == q.name}) for q in quirks_of(base)]
        measures = list(dict.fromkeys(e.measure for e in own))
        tables += [Quirks(base=base, title=title, measures=measures, rows=rows)] if own else []
    return tables


def surface(points: list[Point]) -> Surface:
    """The points as a table."""
    lines = dict.fromkeys((p.framework, p.optimiser) for p in points)
    return Surface(
        sorted({p.rate for p in points}),
        [(f, o, {p.rate: p for p in points if (p.framework, p.optimiser) == (f, o)}) for f, o in lines],
    )
