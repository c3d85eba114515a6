"""Which quirk of the published code made which published effect: each mended alone, and each left in alone.

Three of the paper's results are taken apart (`quirks`): the translated VAE of Figure 2b, with its
grey boxes and its blur; the GAN of section 4.5, which was difficult to train; and the VAE-GAN of Figure 3b, which
translation seemed not to hurt. Of each quirk there are two effects, both paired by seed:

    mend    the base with this quirk mended, less the base as published: what mending it alone changes;
    keep    this quirk alone, less the base with every quirk mended: what it does by itself.

Each measure says in which direction the published effect lies. The p-values of paired t tests are adjusted by Holm
over all quirks and both kinds of one measure of one base: one published effect is one question. The verdict:

    "makes it"         the quirk moves the measure towards the published effect, p < 0.05;
    "weakens it"       it moves it away;
    "no effect shown"  neither, which is no proof that there is none;
    "changes nothing"  by construction (the quirk says why), or every score is the same in every seed.

With few seeds a test finds only effects that are large beside the spread of seeds, and none that is the same in every
seed; and where several quirks are each enough to bring an effect about, mending one of them undoes nothing. So where
the effect goes with all quirks (a paired t test of both ends, unadjusted), a finding says besides which quirks alone
bring the measure past halfway from mended to published, at each seed's own ends, in every seed, and which, mended
alone, take it back past halfway: a description of the runs that are there, and no test.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from triptych.claims.quantities import Quantity, value
from triptych.papers.vae_vs_gan_vs_vaegan.quirks import BASES, GAME, quirks_of
from triptych.claims.results import Results, RunRecord
from triptych.text import capital, count, listed, number
from triptych.verdicts import stats
from triptych.verdicts.stats import Estimate, Paired

ALPHA = 0.05
PUBLISHED, STUDY = "as_published", "attribution"

Kind = Literal["mend", "keep"]
SHARED = "the matched protocol has it, too, and so it is there with every other quirk mended"
Verdict = Literal["makes it", "weakens it", "no effect shown", "changes nothing"]


class Measure(NamedTuple):
    """A score that carries a published effect: which one, and in which direction of the score it lies."""

    metric: str
    label: str
    effect: str
    direction: Literal["higher", "lower"]


MEASURES: dict[str, tuple[Measure, ...]] = {
    "vae-translated": (
        Measure(
            metric="grey_border",
            label="grey border of samples",
            effect="the grey boxes of the VAE's samples",
            direction="higher",
        ),
        Measure(
            metric="reconstruction_grey_border",
            label="grey border of reconstructions",
            effect="the grey boxes of the VAE's reconstructions",
            direction="higher",
        ),
        Measure(
            metric="reconstruction_sharpness",
            label="sharpness of reconstructions",
            effect="the translated VAE's blur",
            direction="lower",
        ),
        Measure(
            metric="translated_mse",
            label="MSE on shifted images",
            effect="the VAE's bad reconstructions of shifted images",
            direction="higher",
        ),
    ),
    "gan": (
        Measure(
            metric="frechet_distance", label="Fréchet distance", effect="the GAN's bad samples", direction="higher"
        ),
        Measure(metric="collapsed", label="share of collapsed runs", effect="the GAN's collapse", direction="higher"),
        Measure(metric="coverage", label="coverage", effect="the GAN's missing variety", direction="lower"),
    ),
    "vaegan": (
        Measure(
            metric="reconstruction_mse",
            label="reconstruction MSE",
            effect="the VAE-GAN's good reconstructions of centred images",
            direction="lower",
        ),
        Measure(
            metric="frechet_distance", label="Fréchet distance", effect="the VAE-GAN's good samples", direction="lower"
        ),
        Measure(
            metric="translated_mse",
            label="MSE on shifted images",
            effect="the VAE-GAN's robust reconstructions of shifted images",
            direction="lower",
        ),
    ),
}


@dataclass(frozen=True)
class Effect:
    """What one quirk does to one measure: a difference of scores, its Holm-adjusted p and its verdict.

    `estimate` is None where no pair of runs has the score, or none needs to be run; `why` says what is missing, or
    why the quirk changes nothing.
    """

    base: str
    quirk: str
    kind: Kind
    measure: str
    label: str
    estimate: Estimate | None
    p: float | None
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class Finding:
    """Which quirks made one published effect: their names, and the answer in one sentence."""

    base: str
    measure: str
    effect: str
    published: Estimate | None
    mended: Estimate | None
    makers: tuple[str, ...]
    sentence: str


def effects(results: Results) -> list[Effect]:
    """Every quirk's two effects on every measure, base by base and measure by measure."""
    return [
        effect
        for base in BASES
        if results.where(study=STUDY, framework=f"{GAME}@{base}-mended")
        for measure in MEASURES[base]
        for effect in _effects(results, base, measure)
    ]


def _effects(results: Results, base: str, measure: Measure) -> list[Effect]:
    """The effects of a base's quirks on one measure, adjusted together."""
    published, mended = _scores(results, base, "", measure), _scores(results, base, "-mended", measure)
    comparisons: tuple[tuple[Kind, dict[int, float]], ...] = (("mend", published), ("keep", mended))
    found: list[tuple[Effect, Paired | None]] = []
    for quirk in quirks_of(base):
        for kind, against in comparisons:
            blank = Effect(
                base=base,
                quirk=quirk.name,
                kind=kind,
                measure=measure.metric,
                label=measure.label,
                estimate=None,
                p=None,
                verdict="no effect shown",
            )
            known = quirk.without_effect.get(base, "") if kind == "mend" else SHARED if quirk.shared else ""
            if known:
                found.append((replace(blank, verdict="changes nothing", why=known), None))
                continue
            variant = f"-{kind}-{quirk.name}"
            own = _scores(results, base, variant, measure)
            seeds = [seed for seed in own if seed in against]
            pair = stats.paired([own[s] for s in seeds], [against[s] for s in seeds]) if seeds else None
            same = pair is not None and _alike(results, base, variant, "" if kind == "mend" else "-mended")
            why = "every score is the same in every seed" if same else "" if pair else "no seed has both scores"
            estimate = pair.difference if pair else None
            verdict: Verdict = "changes nothing" if same else "no effect shown"
            found.append((replace(blank, estimate=estimate, verdict=verdict, why=why), pair))
    tested = [(e, pair) for e, pair in found if pair]
    adjusted = iter(stats.holm([1.0 if pair.p is None else pair.p for _, pair in tested]))
    return [_judged(e, measure, float(next(adjusted))) if pair else e for e, pair in found]


def _scores(results: Results, base: str, variant: str, measure: Measure) -> dict[int, float]:
    """A measure by seed, of a variant of a base; the base itself has the variant ""."""
    asked = Quantity(metric=measure.metric)
    return {run.seed: x for run in _runs(results, base, variant) if (x := value(asked, run).value) is not None}


def _runs(results: Results, base: str, variant: str) -> list[RunRecord]:
    return results.where(study=STUDY if variant else PUBLISHED, framework=f"{GAME}@{base}{variant}")


def _alike(results: Results, base: str, variant: str, other: str) -> bool:
    """Whether two variants share seeds and have, at each, every score the same to the last bit."""
    first, second = (
        {run.seed: {name: row.get("value") for name, row in run.scores.items()} for run in _runs(results, base, v)}
        for v in (variant, other)
    )
    shared = first.keys() & second.keys()
    return bool(shared) and all(first[seed] == second[seed] for seed in shared)


def _judged(effect: Effect, measure: Measure, p: float) -> Effect:
    """The effect with its p and its verdict."""
    estimate = effect.estimate
    if estimate is None or estimate.n < 2 or effect.verdict == "changes nothing" or p >= ALPHA:
        return replace(effect, p=p)
    quirk_adds = estimate.point if effect.kind == "keep" else -estimate.point
    makes = (quirk_adds > 0) == (measure.direction == "higher")
    return replace(effect, p=p, verdict="makes it" if makes else "weakens it")


def findings(results: Results, found: Iterable[Effect]) -> list[Finding]:
    """For each published effect the quirks that made it, from `effects(results)`."""
    by_measure: dict[tuple[str, str], list[Effect]] = {}
    for effect in found:
        by_measure.setdefault((effect.base, effect.measure), []).append(effect)
    return [_finding(results, base, _measure(base, name), own) for (base, name), own in by_measure.items()]


def _measure(base: str, metric: str) -> Measure:
    return next(measure for measure in MEASURES[base] if measure.metric == metric)


def _finding(results: Results, base: str, measure: Measure, found: list[Effect]) -> Finding:
    published, mended = _scores(results, base, "", measure), _scores(results, base, "-mended", measure)
    ends = [stats.mean(list(scores.values())) if scores else None for scores in (published, mended)]
    made, against = ([e for e in found if e.verdict == verdict] for verdict in ("makes it", "weakens it"))
    if ends[0] is None or ends[1] is None:
        sentence = f"Nothing can be said of {measure.effect}: a base has no {measure.label}."
    else:
        sentence = (
            f"{capital(measure.effect)} ({measure.label} {number(ends[0].point, 3)} as published, "
            f"{number(ends[1].point, 3)} with every quirk mended): "
        )
        if _goes(published, mended, measure):
            none = f"no test puts this down to a quirk{_equal(found)}"
            tests = f"made by {_listed(made)}" if made else none
            sentence += f"{tests}{_crossed(results, base, measure, found)}."
        else:
            tests = f"; one at a time, made by {_listed(made)}" if made else ", nor to be made by any of them"
            offset = f", and offset by {_listed(against)}" if made and against else ""
            sentence += f"not shown to go when all quirks are mended{tests}{offset}."
    makers = tuple(dict.fromkeys(effect.quirk for effect in made))
    return Finding(
        base=base,
        measure=measure.metric,
        effect=measure.effect,
        published=ends[0],
        mended=ends[1],
        makers=makers,
        sentence=sentence,
    )


def _goes(published: dict[int, float], mended: dict[int, float], measure: Measure) -> bool:
    """Whether the published effect is shown to go with all quirks: by a paired t test, or equally in every seed."""
    seeds = [seed for seed in published if seed in mended]
    if len(seeds) < 2:
        return False
    pair = stats.paired([published[seed] for seed in seeds], [mended[seed] for seed in seeds])
    change = pair.difference.point
    shown = pair.sd == 0 or (pair.p is not None and pair.p < ALPHA)
    return change != 0 and (change > 0) == (measure.direction == "higher") and shown


def _equal(found: list[Effect]) -> str:
    """Where a quirk changes a measure by the same in every seed, why no test shows it."""
    told = [e.estimate for e in found if e.estimate and e.estimate.point]
    equal = [estimate.n for estimate in told if estimate.n > 1 and estimate.low is None]
    seeds = max(equal, default=0)
    p = stats.smallest_sign_flip_p(seeds) if seeds else 0.0
    return f" (the same change in all of {seeds} seeds has p = {p:.2g} at best)" if p >= ALPHA else ""


def _crossed(results: Results, base: str, measure: Measure, found: list[Effect]) -> str:
    """Which quirks take the measure past halfway between both ends in every seed, kept alone or mended alone.

    Empty where tests have shown all of them.
    """
    published, mended = _scores(results, base, "", measure), _scores(results, base, "-mended", measure)
    seeds, sign = [seed for seed in published if seed in mended], 1 if measure.direction == "higher" else -1
    if not all(sign * published[seed] > sign * mended[seed] for seed in seeds):
        return f"; not in all {len(seeds)} seeds does it go when all are mended"
    past: dict[Kind, list[str]] = {"keep": [], "mend": []}
    lacking = 0
    for e in (e for e in found if e.verdict != "changes nothing"):
        own = _scores(results, base, f"-{e.kind}-{e.quirk}", measure)
        there = [sign * (2 * own[s] - published[s] - mended[s]) > 0 for s in seeds if s in own]
        lacking += len(there) < len(seeds)
        if len(there) == len(seeds) and all(is_there == (e.kind == "keep") for is_there in there):
            past[e.kind].append(e.quirk)
    shown = {(e.quirk, e.kind) for e in found if e.verdict == "makes it"}
    if shown and all((quirk, kind) in shown for kind, quirks in past.items() for quirk in quirks):
        return ""
    kept, back = listed(past["keep"]) or "no quirk", listed(past["mend"], "or") or "no quirk"
    bring = "each bring" if len(past["keep"]) > 1 else "brings"
    partial = f" ({count(lacking, 'variant')} lacking runs left out)" if lacking else ""
    return (
        f"; {kept} {bring} it past halfway alone in all {len(seeds)} seeds, and mending {back} takes it back past "
        f"halfway in all of them{partial}"
    )


def _listed(effects: list[Effect]) -> str:
    """The quirks that have these effects, those first that have them both mended and kept alone."""
    both = [q for q in dict.fromkeys(e.quirk for e in effects) if sum(e.quirk == q for e in effects) == 2]
    told = [f"{q} (whether mended or kept alone)" for q in both]
    return ", ".join(told + [_told(effect) for effect in effects if effect.quirk not in both])


def _told(effect: Effect) -> str:
    """An effect as "sign (mending it alone changes it by -0.5)"."""
    assert effect.estimate is not None
    verb = "mending it alone" if effect.kind == "mend" else "it alone"
    return f"{effect.quirk} ({verb} changes it by {number(effect.estimate.point, 2)})"
