"""The reproduction's charts: the response to the rate, learning curves, and the ablation.

As in the figures of a study's report (triptych.report.plotting), frameworks differ by colour, dash and marker.
"""

from __future__ import annotations

from triptych.claims.quantities import points
from triptych.claims.results import Results
from triptych.papers.vae_vs_gan_vs_vaegan import ablation
from triptych.papers.vae_vs_gan_vs_vaegan.ablation import Effect
from triptych.papers.vae_vs_gan_vs_vaegan.rates import FRAMEWORKS, OPTIMISERS, PAPER_RATE, Point, centred
from triptych.papers.vae_vs_gan_vs_vaegan.speed import LABELS, SCORES
from triptych.report.plotting import Axis, Bars, Mark, Panel, Shown, rows_axis, track_of, tracked
from triptych.text import capital, number
from triptych.verdicts.stats import Estimate
from triptych.verdicts.wording import display

_PLACE = {framework: place for place, framework in enumerate(FRAMEWORKS)}


def panels(results: Results, surface: list[Point], effects: list[Effect]) -> dict[str, Panel]:
    """Every chart before it is drawn, by name, in the order of the page; without runs a chart is left out.

    `surface` and `effects` are those of `rates.surface` and `ablation.effects`.
    """
    return {
        **_responses(surface),
        **{f"learning-{score.partition('_')[0]}": p for score in SCORES if (p := _learning(results, score))},
        **_ablations(effects),
    }


def _responses(points: list[Point]) -> dict[str, Panel]:
    """One panel per optimiser, all on one scale: the score over the rate, with crosses for runs that collapsed."""
    scored = [p for p in points if p.estimate and p.estimate.point > 0]
    ends = [x for p in scored if p.estimate for x in (p.estimate.low, p.estimate.point, p.estimate.high) if x]
    limits = min((x for x in ends if x > 0), default=1.0) / 1.2, max(ends, default=1.0) * 1.2
    found = {}
    for optimiser in OPTIMISERS:
        own = {f: [p for p in scored if (p.framework, p.optimiser) == (f, optimiser)] for f in FRAMEWORKS}
        own = {f: line for f, line in own.items() if line}
        if own:
            title = f"Fréchet distance over the learning rate, {optimiser}"
            alt = f"{title}: {'; '.join(map(_in_words, own.values()))}."
            found[f"response-{optimiser.lower()}"] = Panel(
                title=title,
                alt=alt,
                shown=_response(own, limits[0]),
                x=_rates(own),
                y=Axis(log=True, low=limits[0], high=limits[1]),
                height=2.7,
            )
    return found


def _in_words(line: list[Point]) -> str:
    """One framework's scores at its rates, and how many of its runs collapsed."""
    scores = ", ".join(f"{number(p.estimate.point, 3)} at {p.rate:g}" for p in line if p.estimate)
    collapsed = sum(p.collapsed or 0 for p in line)
    return f"{display(line[0].framework)} {scores}" + (
        f" ({collapsed} of {sum(p.n for p in line)} runs collapsed)" if collapsed else ""
    )


def _response(own: dict[str, list[Point]], lowest: float) -> list[Shown]:
    """Each framework's line with its band, and a cross where runs collapsed."""
    shown: list[Shown] = []
    for framework, line in own.items():
        track = [_with_band(p.rate, p.estimate, lowest) for p in line if p.estimate]
        shown += tracked(track, _PLACE[framework], label=display(framework))
        collapsed = [(p.rate, p.estimate.point) for p in line if p.collapsed and p.estimate]
        if collapsed:
            x, y = zip(*collapsed, strict=True)
            shown.append(Mark(x, y, _PLACE[framework], marker="x", size=9))
    return shown


def _rates(own: dict[str, list[Point]]) -> Axis:
    """The learning rates that were tried, each with a tick."""
    rates = sorted({p.rate for line in own.values() for p in line})
    return Axis("learning rate, in thousandths", log=True, ticks={rate: f"{1000 * rate:g}" for rate in rates})


def _with_band(x: float, e: Estimate, lowest: float) -> tuple[float, float, float, float]:
    """A point with its interval, not below `lowest`."""
    return x, e.point, max(lowest, e.point if e.low is None else e.low), e.point if e.high is None else e.high


def _learning(results: Results, score: str) -> Panel | None:
    """The three frameworks' curves at the paper's setting: mean and range over seeds."""
    tracks = {}
    for framework in FRAMEWORKS:
        runs = centred(results, framework, OPTIMISERS[0], PAPER_RATE)
        if track := track_of([points(score, run) for run in runs]):
            tracks[framework] = track
    if not tracks:
        return None
    last = ", ".join(f"{display(f)} ends at {number(track[-1][1], 3)}" for f, track in tracks.items())
    label = capital(LABELS[score])

    title = f"{label} over training, Adam at {PAPER_RATE:g}"
    return Panel(
        title=title,
        alt=f"{title}, mean and range over seeds: {last}.",
        shown=[mark for f, track in tracks.items() for mark in tracked(track, _PLACE[f], label=display(f))],
        x=Axis("training images", low=0, whole=True),
        y=Axis(log=True),
        height=2.7,
    )


def _ablations(effects: list[Effect]) -> dict[str, Panel]:
    """One panel per published effect: what each quirk adds to the measure, by either comparison."""
    groups: dict[tuple[str, ablation.Measure], list[Effect]] = {}
    for effect in effects:
        if effect.estimate is not None:
            groups.setdefault((effect.base, effect.measure), []).append(effect)
    found = {}
    for (base, measure), own in groups.items():
        if not any(effect.estimate and effect.estimate.point for effect in own):
            continue  # a sentence says that nothing changed
        added = [f"{e.quirk} ({e.kind}) {e.amount}, {e.verdict}" for e in own]
        own = [effect for effect in own if effect.scale == own[0].scale]  # an axis has one scale
        quirks = list(dict.fromkeys(effect.quirk for effect in own))
        title = f"What each quirk does to the {measure.label} of {base}"
        log = own[0].scale == "log2"
        found[f"ablation-{base}-{measure.metric.replace('_', '-')}"] = Panel(
            title=title,
            alt=f"{title}: {'; '.join(added)}.",
            shown=_bars(own, quirks, log),
            x=Axis(f"{'factor' if log else 'difference'} (diamond: significant)", log=log),
            y=rows_axis(quirks),
            height=1.1 + 0.3 * len(quirks),
        )
    return found


def _bars(own: list[Effect], quirks: list[str], log: bool) -> list[Shown]:
    """A row for each quirk: what it adds by either comparison, with the interval, and a diamond if that is significant.

    On a `log` axis it is a factor.
    """
    none = 1.0 if log else 0.0

    def shown_at(x: float) -> float:
        return 2**x if log else x

    shown: list[Shown] = []
    names = {"fix": "published against it fixed", "keep": "it alone against all fixed"}
    for place, kind in enumerate(names):
        shift = -0.19 if kind == "fix" else 0.19
        known = [(quirks.index(e.quirk) + shift, e.estimate, e) for e in own if e.kind == kind and e.estimate]
        ends = [shown_at(estimate.point) for _, estimate, _ in known]
        shown.append(Bars([y for y, _, _ in known], ends, none, place, filled=kind == "fix", label=names[kind]))
        for y, added, effect in known:
            if added.low is not None and added.high is not None:
                shown.append(Mark([shown_at(added.low), shown_at(added.high)], [y, y], "ink", width=1.4))
            if effect.verdict in ("makes it", "weakens it"):
                shown.append(Mark([shown_at(added.point)], [y], "ink", marker="D", size=3.5))
    shown.append(Mark([none, none], [-0.5, len(quirks) - 0.5], "muted", width=0.8))
    return shown
