"""Which quirk of the published code made which published effect: each fixed alone, and each left in alone.

Three of the paper's results are taken apart (`quirks`): the translated VAE of Figure 2b, with its grey boxes and its
blur; the GAN of section 4.5, which was difficult to train; and the VAE-GAN of Figure 3b, which translation seemed not
to hurt. What a quirk adds to a measure is a contrast of the claims engine, paired by seed, in two ways:

    fix     the base as published, less the base with this quirk fixed;
    keep    the base with only this quirk, less the base with every quirk fixed.

Measures are compared on their metric's scale: distances and errors by factors, shares within 0 and 1, collapsed runs by
counts. Runs that failed stay in, with the score that they have: the question is what a quirk does to a run, and a quirk
that does nothing leaves both laws the same, failures included. Each measure says in which direction the published
effect lies. The p-values are adjusted by Holm over all quirks and both ways of one measure of one base: one published
effect is one question. The verdict:

    "makes it"         the quirk moves the measure towards the published effect, p < 0.05;
    "weakens it"       it moves it away;
    "no effect shown"  neither, which does not prove that there is none;
    "no change seen"   every score is the same in every seed, which is no test;
    "changes nothing"  by construction: the quirk says why.

With few seeds a test finds only effects that are large compared with the spread of seeds, and none that is the same in
every seed; and where several quirks are each enough to cause an effect, fixing one of them undoes nothing. So where the
effect vanishes with all quirks (`triptych.claims.judging.vanishes`, a test), a finding also says which quirks alone
bring the measure past halfway from fixed to published, in every seed, and which, fixed alone, take it back past
halfway: a description of the runs, and it says that it is not tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from triptych.claims.contrasts import Contrast, contrast
from triptych.claims.judging import ALPHA, signs, vanishes
from triptych.claims.quantities import Quantity, outputs
from triptych.claims.results import Results
from triptych.claims.spec import PartSpec, Scale, Side
from triptych.claims.wording import Answer
from triptych.papers.vae_vs_gan_vs_vaegan.quirks import BASES, GAME, Quirk, quirks_of
from triptych.text import capital, count, listed, number
from triptych.verdicts import stats
from triptych.verdicts.stats import Estimate

PUBLISHED, STUDY = "as_published", "ablation"
Kind = Literal["fix", "keep"]
KINDS: tuple[Kind, ...] = ("fix", "keep")
SHARED = "the matched protocol has it, too, so it is there when all other quirks are fixed"


class Measure(NamedTuple):
    """A score that carries a published effect: which one, and in which direction of the score it lies."""

    metric: str
    effect: str
    direction: Literal["higher", "lower"]

    @property
    def label(self) -> str:
        return outputs()[self.metric].label

    @property
    def sign(self) -> int:
        return 1 if self.direction == "higher" else -1


MEASURES: dict[str, tuple[Measure, ...]] = {
    "vae-translated": (
        Measure("grey_border", "the grey boxes of the VAE's samples", "higher"),
        Measure("reconstruction_grey_border", "the grey boxes of the VAE's reconstructions", "higher"),
        Measure("reconstruction_sharpness", "the translated VAE's blur", "lower"),
        Measure("translated_mse", "the VAE's bad reconstructions of shifted images", "higher"),
    ),
    "gan": (
        Measure("frechet_distance", "the GAN's bad samples", "higher"),
        Measure("collapsed", "the GAN's collapse", "higher"),
        Measure("coverage", "the GAN's missing variety", "lower"),
    ),
    "vaegan": (
        Measure("reconstruction_mse", "the VAE-GAN's good reconstructions of centred images", "lower"),
        Measure("frechet_distance", "the VAE-GAN's good samples", "lower"),
        Measure("translated_mse", "the VAE-GAN's robust reconstructions of shifted images", "lower"),
    ),
}


@dataclass(frozen=True)
class Effect:
    """What one quirk adds to one measure: a difference on the measure's scale, its Holm-adjusted p and its verdict.

    `estimate` is in doublings on the scale "log2"; `amount` and `span` are it and its interval for people. It is None
    where no pair of runs has the score, or none needs to be run; `why` says what is missing, or why the quirk changes
    nothing. `scores` are the variant's own, by seed, on the scale.
    """

    base: str
    quirk: str
    kind: Kind
    measure: Measure
    scale: Scale = "identity"
    estimate: Estimate | None = None
    amount: str = ""
    span: str = ""
    p: float | None = None
    verdict: Literal["makes it", "weakens it", "no effect shown", "no change seen", "changes nothing"] = (
        "no effect shown"
    )
    why: str = ""
    scores: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Finding:
    """Which quirks made one published effect: their names, and the answer in one sentence."""

    base: str
    measure: str
    makers: tuple[str, ...]
    sentence: str


def effects(results: Results) -> list[Effect]:
    """What every quirk adds to every measure, in both ways, base by base and measure by measure."""
    return [
        effect
        for base in BASES
        if results.where(study=STUDY, framework=f"{GAME}@{base}-fixed")
        for measure in MEASURES[base]
        for effect in _effects(results, base, measure)
    ]


def _effects(results: Results, base: str, measure: Measure) -> list[Effect]:
    """The effects of a base's quirks on one measure, adjusted together."""
    found = [_effect(results, base, measure, quirk, kind) for quirk in quirks_of(base) for kind in KINDS]
    answers = signs([pair for _, pair in found if pair])
    judged = []
    for effect, pair in found:
        if pair:
            p, sign = next(answers)
            verdict = {1: "makes it", -1: "weakens it"}.get(sign * measure.sign, effect.verdict)
            effect = replace(effect, p=p, verdict=verdict)
        judged.append(effect)
    return judged


def _effect(results: Results, base: str, measure: Measure, quirk: Quirk, kind: Kind) -> tuple[Effect, Contrast | None]:
    """An effect before its test, and what the quirk adds in each seed, if anything is to be tested."""
    blank = Effect(base=base, quirk=quirk.name, kind=kind, measure=measure)
    known = quirk.without_effect.get(base, "") if kind == "fix" else SHARED if quirk.shared else ""
    if known:
        return replace(blank, verdict="changes nothing", why=known), None
    variant, other = f"-{kind}-{quirk.name}", "" if kind == "fix" else "-fixed"
    said = _compared(results, base, measure, *((other, variant) if kind == "fix" else (variant, other)))
    pair = said.found
    if not pair.values:
        return replace(blank, why="no seed has both scores"), None
    effect = replace(
        blank,
        scale=pair.scale,
        estimate=said.estimate,
        amount=said.amount,
        span=said.span,
        scores=tuple(pair.sides[kind == "fix"].items()),
    )
    if shared := _alike(results, base, variant, other):
        why = f"every score is the same in {shared} of {count(shared, 'seed')}: seen, not tested"
        effect = replace(effect, verdict="no change seen", why=why)
    return effect, pair


def _compared(results: Results, base: str, measure: Measure, first: str, second: str) -> Answer:
    """A measure of one variant of a base against that of another; the base as published has the variant ""."""
    a, b = (Side(framework=f"{GAME}@{base}{v}", study=STUDY if v else PUBLISHED) for v in (first, second))
    spec = PartSpec(protocol=STUDY, statement=measure.effect, quantity=Quantity(metric=measure.metric), a=a, b=b)
    return Answer(spec, contrast(spec, results, typical=False), None, None, results)


def _alike(results: Results, base: str, variant: str, other: str) -> int:
    """In how many seeds two variants have every score the same to the last bit, if in all that they share; else 0."""
    first, second = (
        {run.seed: {name: row.get("value") for name, row in run.scores.items()} for run in runs}
        for runs in (results.where(STUDY if v else PUBLISHED, f"{GAME}@{base}{v}") for v in (variant, other))
    )
    shared = first.keys() & second.keys()
    return len(shared) if all(first[seed] == second[seed] for seed in shared) else 0


def findings(results: Results, found: Iterable[Effect]) -> list[Finding]:
    """For each published effect the quirks that made it, from `effects(results)`."""
    groups: dict[tuple[str, Measure], list[Effect]] = {}
    for effect in found:
        groups.setdefault((effect.base, effect.measure), []).append(effect)
    return [_finding(results, base, measure, own) for (base, measure), own in groups.items()]


def _finding(results: Results, base: str, measure: Measure, found: list[Effect]) -> Finding:
    said = _compared(results, base, measure, "", "-fixed")
    ends = said.found
    made, against = ([e for e in found if e.verdict == verdict] for verdict in ("makes it", "weakens it"))
    makers = tuple(dict.fromkeys(effect.quirk for effect in made))
    if not ends.values:
        sentence = f"Nothing can be said of {measure.effect}: a base has no {measure.label}."
        return Finding(base=base, measure=measure.metric, makers=makers, sentence=sentence)
    published, fixed = said.levels
    lead = f"{capital(measure.effect)} ({measure.label}: {published} as published, {fixed} with every quirk fixed)"
    if vanishes(ends, measure.sign):
        tests = f"made by {_listed(made)}" if made else f"no test attributes this to a quirk{_equal(found)}"
        sentence = f"{lead}: {tests}{_crossed(ends, measure, found)}."
    else:
        tests = f"; one at a time, made by {_listed(made)}" if made else ", and none for any single quirk"
        offset = f", and offset by {_listed(against)}" if made and against else ""
        sentence = f"{lead}: no significant change when all quirks are fixed{tests}{offset}."
    return Finding(base=base, measure=measure.metric, makers=makers, sentence=sentence)


def _equal(found: list[Effect]) -> str:
    """Where a quirk changes a measure by the same in every seed, why no test shows it."""
    changed = [e.estimate for e in found if e.estimate and e.estimate.point]
    seeds = max((estimate.n for estimate in changed if estimate.n > 1 and estimate.low is None), default=0)
    p = stats.smallest_sign_flip_p(seeds) if seeds else 0.0
    return f" (the same change in all of {seeds} seeds has p = {p:.2g} at best)" if p >= ALPHA else ""


def _crossed(ends: Contrast, measure: Measure, found: list[Effect]) -> str:
    """Which quirks take the measure past halfway between both ends in every seed, kept alone or fixed alone.

    Empty where tests have shown all of them.
    """
    published, fixed = ends.sides
    if not all(measure.sign * change > 0 for change in ends.values.values()):
        return f"; it does not vanish in all {len(published)} seeds when all quirks are fixed"
    past: dict[Kind, list[str]] = {"keep": [], "fix": []}
    lacking = 0
    for e in (e for e in found if e.verdict not in ("no change seen", "changes nothing")):
        own = dict(e.scores) if e.scale == ends.scale else {}
        beyond = [measure.sign * (2 * own[s] - published[s] - fixed[s]) > 0 for s in published if s in own]
        lacking += len(beyond) < len(published)
        if len(beyond) == len(published) and all(is_beyond == (e.kind == "keep") for is_beyond in beyond):
            past[e.kind].append(e.quirk)
    shown = {(e.quirk, e.kind) for e in found if e.verdict == "makes it"}
    if shown and all((quirk, kind) in shown for kind, quirks in past.items() for quirk in quirks):
        return ""
    kept, back = listed(past["keep"]) or "no quirk", listed(past["fix"], "or") or "no quirk"
    bring = "each bring" if len(past["keep"]) > 1 else "brings"
    partial = f" ({count(lacking, 'variant')} without all runs left out)" if lacking else ""
    seen = f"seen in {len(published)} of {count(len(published), 'seed')}, not tested"
    return f"; {seen}: {kept} {bring} it past halfway alone, and fixing {back} takes it back past halfway{partial}"


def _listed(effects: list[Effect]) -> str:
    """The quirks that have these effects, those first that have them both fixed and kept alone."""
    both = [q for q in dict.fromkeys(e.quirk for e in effects) if sum(e.quirk == q for e in effects) == 2]
    single = [e for e in effects if e.quirk not in both]
    return ", ".join([*(f"{q} (whether fixed or kept alone)" for q in both), *map(_with_change, single)])


def _with_change(effect: Effect) -> str:
    """An effect as "sign (fixing it alone changes it by -0.5)"; on "log2" as "... multiplies it by 0.5"."""
    assert effect.estimate is not None
    fixes = effect.kind == "fix"
    change = -effect.estimate.point if fixes else effect.estimate.point
    by = f"multiplies it by {number(2**change, 2)}" if effect.scale == "log2" else f"changes it by {number(change, 2)}"
    return f"{effect.quirk} ({'fixing it alone' if fixes else 'it alone'} {by})"
