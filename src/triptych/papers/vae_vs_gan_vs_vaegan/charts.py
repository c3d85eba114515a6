"""The reproduction's charts: the response to the rate, learning curves, and the ablation.

Drawn as the figures of a study's report are (triptych.report.plotting): frameworks differ by colour, dash and marker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from triptych.claims.quantities import points
from triptych.claims.results import Results
from triptych.papers.vae_vs_gan_vs_vaegan import ablation
from triptych.papers.vae_vs_gan_vs_vaegan.ablation import Effect
from triptych.papers.vae_vs_gan_vs_vaegan.rates import FRAMEWORKS, OPTIMISERS, PAPER_RATE, Point, centred
from triptych.papers.vae_vs_gan_vs_vaegan.speed import LABELS, SCORES
from triptych.report import plotting
from triptych.report.plotting import Ink, Panel
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


def _style(ink: Ink, framework: str) -> dict[str, Any]:
    """A framework's colour, dash and marker."""
    place = _PLACE[framework]
    return {"color": ink.series[place], "linestyle": plotting.dash(place), "marker": plotting.MARKERS[place]}


def _line(axes: Any, ink: Ink, framework: str, track: list[tuple[float, float, float, float]]) -> None:
    """A framework's line through points (x, y, low, high), and the band between its lows and highs."""
    style, (x, y, low, high) = _style(ink, framework), zip(*track, strict=True)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.16, linewidth=0)
    axes.plot(x, y, **style, linewidth=plotting.LINE, markersize=4.5, mew=0, label=display(framework))


def _legend(axes: Any, ink: Ink) -> None:
    axes.legend(frameon=False, fontsize=7.5, labelcolor=ink.text, handlelength=2.6, borderaxespad=0.2)


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
            found[f"response-{optimiser.lower()}"] = Panel(title, alt, _response(own, *limits), height=2.7)
    return found


def _in_words(line: list[Point]) -> str:
    """One framework's scores at its rates, and how many of its runs collapsed."""
    scores = ", ".join(f"{number(p.estimate.point, 3)} at {p.rate:g}" for p in line if p.estimate)
    collapsed = sum(p.collapsed or 0 for p in line)
    return f"{display(line[0].framework)} {scores}" + (
        f" ({collapsed} of {sum(p.n for p in line)} runs collapsed)" if collapsed else ""
    )


def _response(own: dict[str, list[Point]], lowest: float, highest: float) -> Callable[[Any, Ink], None]:
    def draw(axes: Any, ink: Ink) -> None:
        for framework, line in own.items():
            _line(axes, ink, framework, [_with_band(p.rate, p.estimate, lowest) for p in line if p.estimate])
            collapsed = [(p.rate, p.estimate.point) for p in line if p.collapsed and p.estimate]
            if collapsed:
                colour = _style(ink, framework)["color"]
                axes.plot(*zip(*collapsed, strict=True), "x", color=colour, markersize=9, mew=1.8)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        plotting.style_axes(axes, ink)
        ticks = sorted({p.rate for line in own.values() for p in line})
        axes.set_xticks(ticks, [f"{1000 * rate:g}" for rate in ticks])
        axes.set_ylim(lowest, highest)
        _few_ticks(axes.yaxis)
        axes.set_xlabel("learning rate, in thousandths", color=ink.muted)
        _legend(axes, ink)

    return draw


def _with_band(x: float, e: Estimate, lowest: float) -> tuple[float, float, float, float]:
    """A point with its interval, not below `lowest`."""
    return x, e.point, max(lowest, e.point if e.low is None else e.low), e.point if e.high is None else e.high


def _few_ticks(axis: Any) -> None:
    """Ticks at 1, 2 and 5 of every decade, or at 1 of many: a log axis of one decade would otherwise lack them."""
    low, high = axis.axes.get_xlim() if axis.axis_name == "x" else axis.axes.get_ylim()
    axis.set_major_locator(plotting.ticker().LogLocator(base=10, subs=(1,) if high > 200 * low else (1, 2, 5)))


def _learning(results: Results, score: str) -> Panel | None:
    """The three frameworks' curves at the paper's setting: mean and range over seeds."""
    tracks = {}
    for framework in FRAMEWORKS:
        runs = centred(results, framework, OPTIMISERS[0], PAPER_RATE)
        if track := plotting.track_of([points(score, run) for run in runs]):
            tracks[framework] = track
    if not tracks:
        return None
    last = ", ".join(f"{display(f)} ends at {number(track[-1][1], 3)}" for f, track in tracks.items())
    label = capital(LABELS[score])

    def draw(axes: Any, ink: Ink) -> None:
        for framework, track in tracks.items():
            _line(axes, ink, framework, track)
        axes.set_yscale("log")
        plotting.style_axes(axes, ink)
        _few_ticks(axes.yaxis)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(plotting.ticker().MaxNLocator(4, integer=True, steps=[1, 2, 2.5, 5, 10]))
        axes.set_xlabel("training images", color=ink.muted)
        _legend(axes, ink)

    title = f"{label} over training, Adam at {PAPER_RATE:g}"
    return Panel(title=title, alt=f"{title}, mean and range over seeds: {last}.", draw=draw, height=2.7)


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
        found[f"ablation-{base}-{measure.metric.replace('_', '-')}"] = Panel(
            title=title, alt=f"{title}: {'; '.join(added)}.", draw=_bars(own, quirks), height=0.8 + 0.3 * len(quirks)
        )
    return found


def _bars(own: list[Effect], quirks: list[str]) -> Callable[[Any, Ink], None]:
    log = own[0].scale == "log2"
    none = 1.0 if log else 0.0

    def shown_at(x: float) -> float:
        return 2**x if log else x

    def draw(axes: Any, ink: Ink) -> None:
        names = {"fix": "published against it fixed", "keep": "it alone against all fixed"}
        for place, kind in enumerate(names):
            colour, shift = ink.series[place], -0.19 if kind == "fix" else 0.19
            shown = [(quirks.index(e.quirk) + shift, e.estimate, e) for e in own if e.kind == kind and e.estimate]
            solid = {"color": colour, "alpha": 0.75} if kind == "fix" else {"fill": False, "edgecolor": colour}
            widths = [shown_at(e.point) - none for _, e, _ in shown]
            axes.barh([y for y, _, _ in shown], widths, 0.3, left=none, label=names[kind], **solid)
            for y, added, effect in shown:
                if added.low is not None and added.high is not None:
                    ends = [shown_at(added.low), shown_at(added.high)]
                    axes.plot(ends, [y, y], color=ink.text, linewidth=1.4)
                if effect.verdict in ("makes it", "weakens it"):
                    axes.plot([shown_at(added.point)], [y], "D", color=ink.text, markersize=3.5, mew=0)
        axes.axvline(none, color=ink.muted, linewidth=0.8)
        if log:
            axes.set_xscale("log")
        plotting.style_axes(axes, ink)
        axes.set_yticks(range(len(quirks)), quirks)  # a row for each quirk, downwards
        axes.set_ylim(len(quirks) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        if log:
            _few_ticks(axes.xaxis)
        else:
            axes.xaxis.set_major_locator(plotting.ticker().MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        by = "factor" if log else "difference"
        axes.set_xlabel(f"{by} (diamond: significant)", color=ink.muted)
        _legend(axes, ink)

    return draw
