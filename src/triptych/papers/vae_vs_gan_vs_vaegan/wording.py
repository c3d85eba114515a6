"""How the reproduction's page and its Markdown say things: verdicts with their signs, intervals, tables of quirks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triptych.text import capital, count, duration, listed, number
from triptych.verdicts.stats import Estimate
from triptych.verdicts.wording import display

if TYPE_CHECKING:
    from jinja2 import Environment

    from triptych.papers.vae_vs_gan_vs_vaegan.ablation import Effect
    from triptych.claims.engine import Claim
    from triptych.papers.vae_vs_gan_vs_vaegan.content import Content, RunAt
    from triptych.claims.judging import Part
    from triptych.papers.vae_vs_gan_vs_vaegan.rates import Point

_HERE = Path(__file__).parent
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
    "changes nothing": "=",
    "Adam is faster": "✓",
    "RMSprop is faster": "✗",
}
"""What stands before a verdict's word, so that no verdict is told by its colour alone."""
COLOURS = {
    "good": ("holds", "supported", "stable", "inside", "Adam is faster"),
    "bad": ("does not hold", "contradicted", "not stable", "outside", "RMSprop is faster"),
    "part": ("holds where decided", "holds in part", "makes it", "weakens it"),
}
VERDICTS = ("holds", "holds where decided", "holds in part", "does not hold", "undecided", "measured")
BASES = {
    "vae-translated": "The VAE trained on translated images (Figure 2b)",
    "gan": "The GAN that was difficult to train (section 4.5)",
    "vaegan": "The VAE-GAN that translation seemed not to hurt (Figure 3b)",
}
STUDIES = {
    "matched": "three frameworks, either optimiser, three rates, centred and translated images",
    "rates": "the same on centred images at the two outer rates",
    "as_published": "the paper's runs, slips included",
    "attribution": "the paper's runs with single quirks mended, or left in alone",
}
DRAWINGS = {
    "figure1": "Figure 1: the networks of VAE-GAN",
    "wiring-vae": "The wiring of VAE",
    "wiring-gan": "The wiring of GAN",
    "wiring-vaegan": "The wiring of VAE-GAN",
    "appendix-enc": "Appendix A: the encoder",
    "appendix-dec": "Appendix B: the decoder",
    "appendix-dis": "Appendix C: the discriminator",
}
LIMITS = (
    "The paper's weights, seeds and machine are not recorded, so no run can be repeated bit by bit; printed values are "
    "held against the spread of runs that differ in their seed alone.",
    "The paper prints pictures, but neither samples of its GAN nor any picture or loss of RMSprop; these comparisons "
    "can be made here, not held against printed ones.",
    "The paper trains for one epoch on one data set, MNIST, with one set of networks. So does this; nothing here says "
    "how the claims fare with longer training, larger networks or other images.",
    "The matched protocol is one fair way to compare and not the only one: losses are sums as in Larsen et al. (2016), "
    "the update rule is one for all, and other choices may shift an effect.",
    "Seconds are those that the machine took beside whatever else it did; the FLOPs beside them are counted. As "
    "published, networks are recomputed another number of times here than in the notebook: neither seconds nor FLOPs "
    "of these runs are the notebook's.",
    "A verdict is the answer of as many seeds as the table says. Undecided is no evidence that there is no effect.",
)
REDUCED = (
    "At this scale images, networks and budget are smaller than the paper's. A verdict holds at this scale; whether it "
    "carries over to the paper's is what --scale paper is for."
)

TERMS = {
    "The paper's setting": "Adam at 0.0003, the rate of the paper's VAE and VAE-GAN; its GAN had 0.04.",
    "Translated": "Shifted at random by up to 10 % of the side, both ways, as in the paper; shifted test images, too.",
    "Doublings": "Differences of logarithms to base 2: +1 is twice as much, −1 half, and 0.1 is 7 %. Levels that are "
    "compared by a factor are geometric means over seeds.",
    "Tuned": "At the best of the settings under Equal tuning for all, chosen for each seed by the other seeds' "
    "validation images.",
    "Margin": "The smallest difference that matters: a claim of a difference is supported by any that is shown, "
    "however small, and contradicted by one that is shown to be smaller than this.",
}
"""What the page's words mean that name no metric."""
REHEARSAL = 100
"""Steps below which no network has learned to draw."""


@dataclass(frozen=True)
class Quirks:
    """The quirks of one published result: what each does, and its effects by measure and kind."""

    base: str
    title: str
    measures: dict[str, str]
    rows: list[tuple[str, str, dict[tuple[str, str], Effect]]]


@dataclass(frozen=True)
class Surface:
    """The rates as columns, and a line of settings for each framework and optimiser."""

    rates: list[float]
    lines: list[tuple[str, str, dict[float, Point]]]


def environment(autoescape: bool) -> Environment:
    """The templates of this folder, with the words that both use."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=not autoescape,
    )
    made.filters |= {
        "number": number,
        "duration": duration,
        "count": count,
        "display": display,
        "interval": interval,
        "told": told,
        "sign": sign,
        "colour": colour,
        "measured": measured,
        "brief": brief,
        "capital": capital,
        "rate": rate,
    }
    made.globals |= {
        "tally": tally,
        "parts_of": parts_of,
        "quirks": quirks,
        "surface": surface,
        "lost": lost,
        "heads": heads,
        "votes": votes,
        "troubles": troubles,
        "glossary": glossary,
        "studies": STUDIES,
        "titles": DRAWINGS,
    }
    return made


def sign(verdict: str) -> str:
    """The sign that stands before a verdict's word."""
    return SIGNS.get(verdict, "")


def colour(verdict: str) -> str:
    """The page's class for a verdict."""
    return next((name for name, words in COLOURS.items() if verdict in words), "muted")


def told(e: Estimate | None, digits: int = 3) -> str:
    """An estimate with its interval: "0.31 (0.28 to 0.34)"; the number alone where there is no interval."""
    if e is None:
        return "–"
    return number(e.point, digits) + (f" ({interval(e, digits)})" if e.low is not None else "")


def interval(e: Any, digits: int = 3) -> str:
    """The interval of an estimate or a part, "0.28 to 0.34"; a dash without one."""
    return "–" if e.low is None or e.high is None else f"{number(e.low, digits)} to {number(e.high, digits)}"


def measured(part: Part) -> str:
    """A part's estimate with its unit."""
    if part.estimate is None:
        return "–"
    return number(part.estimate, 3) + (f" {part.unit}" if part.unit and part.unit not in ("1", "share") else "")


def tally(claims: Iterable[Claim]) -> str:
    """Which claims got which verdict, in one sentence."""
    found: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for claim in claims:
        found[claim.verdict].append(claim.id)
    words = {
        "holds": ("holds", "hold"),
        "holds where decided": ("holds where decided", "hold where decided"),
        "holds in part": ("holds in part", "hold in part"),
        "does not hold": ("does not hold", "do not hold"),
        "undecided": ("remains undecided", "remain undecided"),
        "measured": ("was only announced and is measured here", "were only announced and are measured here"),
    }
    parts = [f"{len(ids)} {words[v][len(ids) > 1]} ({', '.join(ids)})" for v, ids in found.items() if ids]
    return f"Of the paper's {count(sum(map(len, found.values())), 'claim')}, {listed(parts)}."


def parts_of(claim: Claim, protocol: str) -> list[Part]:
    """The parts of a claim under one protocol."""
    return [part for part in claim.parts if part.protocol == protocol]


def heads(claim: Claim) -> list[Part]:
    """The matched parts that a short table tells: the first that decided the verdict, two where nothing was claimed."""
    parts = parts_of(claim, "matched")
    if claim.verdict == "measured":
        return [part for part in parts if part.verdict == "measured"][:2]
    wanted = {
        "holds": ("supported",),
        "does not hold": ("contradicted",),
        "undecided": ("undecided", "undefined"),
    }.get(claim.verdict)
    if wanted:
        return [part for part in parts if part.verdict in wanted][:1]
    against = [p for p in parts if p.verdict == "contradicted"] + [p for p in parts if p.verdict == "undecided"]
    return [part for part in parts if part.verdict == "supported"][:1] + against[:1]


def votes(claim: Claim, protocol: str) -> str:
    """What the parts of one protocol say: "2 of 3 support it, 1 contradicts it"."""
    parts = [part for part in parts_of(claim, protocol) if part.expects]
    words = {
        "supported": ("supports it", "support it"),
        "contradicted": ("contradicts it", "contradict it"),
        "undecided": ("is undecided", "are undecided"),
        "undefined": ("has no value", "have no value"),
    }
    told = Counter(part.verdict for part in parts)
    found = [f"{told[verdict]} {words[verdict][told[verdict] > 1]}" for verdict in words if told[verdict]]
    return f"of {count(len(parts), 'comparison')}: {', '.join(found)}" if found else ""


def brief(part: Part) -> str:
    """A part's sentence up to its interval, "Supported: 27 against 54, a difference of ...", and its collapsed runs."""
    first, *asides = part.sentence.rstrip(".").split("; ")
    return "; ".join([first, *(aside for aside in asides if aside.startswith("collapsed"))]) + "."


def rate(value: float) -> str:
    """A learning rate written out: 0.000075."""
    return f"{value:.7f}".rstrip("0")


def lost(number_lost: int | None, of: int, how: str) -> str:
    """How many of a cell's runs failed: "2 of 5 diverged"; empty without any."""
    return f"{number_lost} of {of} {how}" if number_lost else ""


def rehearsal(scale: RunAt) -> str:
    """That runs of so few steps show how it works and nothing else; empty for runs that train."""
    if scale.steps >= REHEARSAL:
        return ""
    steps = count(scale.steps, "step")
    return f"A rehearsal: {steps} a run train nothing, and verdicts say nothing about the frameworks."


def troubles(content: Content) -> list[str]:
    """What a reader must know before anything else: untrained networks, studies that are not there or not whole."""
    there = [e.study for e in content.runs]
    return [
        *filter(None, [rehearsal(content.scale)]),
        *(f"The study “{name}” has not been run: its part is missing." for name in STUDIES if name not in there),
        *(
            f"The study “{e.study}” is not whole: {e.there} of {count(e.wanted, 'run')} are there. What is missing is "
            "undefined here, and verdicts may change."
            for e in content.runs
            if e.there < e.wanted
        ),
    ]


def glossary(content: Content) -> dict[str, str]:
    """What the page's measures and words mean."""
    better = {"lower": ", lower is better", "higher": ", higher is better", "none": ""}
    metrics = {f"{m.label} ({m.unit}{better[m.better]})": m.about for m in content.measures}
    return {**metrics, **TERMS}


def limits(content: Content) -> list[str]:
    """What the page cannot say."""
    if content.scale.whole:
        return list(LIMITS)
    beta = (
        "As published, the VAE's prior weighs pixels / latents / 2 times as much as in the bound: 16 times at the "
        f"paper's size, {number(content.scale.size**2 / 256)} times at this one, where there are 128 latents as well."
    )
    return [*LIMITS, REDUCED, beta]


def contents(content: Content) -> dict[str, str]:
    """The page's parts by id, in order; what there are no runs for is no part."""
    parts = [
        ("claims", "Which claims hold", True),
        *((claim.id.lower(), claim.id, True) for claim in content.claims),
        ("table1", "Table 1, redone", bool(content.table1)),
        ("rates", "Five learning rates", bool(content.points)),
        ("tuned", "Equal tuning for all", bool(content.tuned)),
        ("speed", "Time to a score, training times, learning curves", bool(content.times or content.costs)),
        ("figures", "Figures 2 and 3, redone", bool(content.named("figure"))),
        ("quirks", "Which quirk made which effect", bool(content.effects)),
        ("pictures", "More pictures", bool(content.named("samples"))),
        ("drawings", "Figure 1 and appendices A to C", True),
        ("run", "How it was run", True),
        ("limits", "What could not be carried over", True),
        ("files", "Files", True),
    ]
    return {name: title for name, title, there in parts if there}


def quirks(effects: list[Effect]) -> list[Quirks]:
    """The effects as one table for each published result."""
    from triptych.papers.vae_vs_gan_vs_vaegan.quirks import quirks_of

    found = []
    for base, title in BASES.items():
        own = [effect for effect in effects if effect.base == base]
        if own:
            rows = [
                (q.name, q.about, {(e.measure, e.kind): e for e in own if e.quirk == q.name}) for q in quirks_of(base)
            ]
            found.append(Quirks(base=base, title=title, measures={e.measure: e.label for e in own}, rows=rows))
    return found


def surface(points: list[Point]) -> Surface:
    """The points as a table."""
    lines = dict.fromkeys((p.framework, p.optimiser) for p in points)
    return Surface(
        sorted({p.rate for p in points}),
        [(f, o, {p.rate: p for p in points if (p.framework, p.optimiser) == (f, o)}) for f, o in lines],
    )
