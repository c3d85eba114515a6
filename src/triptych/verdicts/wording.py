"""Verdicts in words: one plain sentence from the numbers of a record, and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from triptych import plugins
from triptych.text import condition, count, listed, number
from triptych.verdicts.stats import MOST_SEEDS

if TYPE_CHECKING:
    from triptych.verdicts.verdict import Verdict

_declared: ContextVar[Mapping[str, str] | None] = ContextVar("_declared", default=None)
PROPER = (
    "Fréchet",
    "Frechet",
    "Gaussian",
    "Wasserstein",
    "Shannon",
    "Vendi",
    "Dis_l",
)  # keep their capital in mid-sentence
FEW_SEEDS = 3
"""Up to so many seeds, the spread is little more than a guess."""
RESTS_ON = {
    "": "",
    "counts": "",
    "signs": "; confirmed without assumptions",
    "normal": "; assumes that seeds scatter normally",
}
_NONE: Mapping[str, int] = {}
UNSPOKEN = ("share", "ratio", "similarity")  # "0.02 share lower" says no more than "0.02 lower"


@contextmanager
def declared_names(names: Mapping[str, str]) -> Iterator[None]:
    """Inside, `display` knows these names, which frameworks from outside the package declare, by framework."""
    token = _declared.set({game: name for game, name in names.items() if name})
    try:
        yield
    finally:
        _declared.reset(token)


def display(framework: str) -> str:
    """A framework as people write it: "VAE-GAN", or "VAE-GAN (larsen-code)" for a preset of it.

    One from outside that declares no name goes by that of its class, or of its file.
    """
    game, _, preset = framework.partition("@")
    module, _, attribute = game.partition(":")
    known = {**plugins.display_names("frameworks"), **(_declared.get() or {})}
    plain = module.rpartition(".")[2] if attribute in ("", "FRAMEWORK") else attribute
    return known.get(game, plain) + (f" ({preset})" if preset else "")


def sentence(v: Verdict) -> str:
    """The answer in one plain sentence."""
    write = {"undefined": _undefined, "equivalent": _equivalent, "undecided": _undecided}
    lead = f"With {condition(v.condition)}: " if v.condition else ""
    failed = any(risk.failed for framework, risk in v.risks.items() if framework not in v.undefined)
    if failed and v.effect is not None and v.scale != "event" and not v.most_failed:
        lead += "In runs that did not fail: "
    return lead + write.get(v.verdict, _decided)(v) + _asides(v) + "."


def _decided(v: Verdict) -> str:
    a, b = _subjects(v)
    verb = "are" if v.subject else "is"
    return f"{a} {verb} {v.verdict} than {b} by {mid(v.label)}: {_by(v)} ({_interval(v)}, {_p(v)}){_may_not_matter(v)}"


def _may_not_matter(v: Verdict) -> str:
    """A word of caution where the effect may be smaller than the smallest that matters."""
    if v.margin is None or v.low is None or v.high is None or v.effect is None:
        return ""
    nearest = min(abs(math.log(x) if v.scale == "factor" and not v.rescaled else x) for x in (v.effect, v.low, v.high))
    smallest = v.margin if v.scale == "factor" else v.smallest_effect
    return f"; {_negligible(v)}" if smallest and nearest < smallest else ""


def _equivalent(v: Verdict) -> str:
    a, b = _subjects(v)
    return (
        f"{a} and {b} are equivalent by {mid(v.label)}: {v.names[0]} scores {_by(v) or 'the same'} "
        f"({_interval(v)}, {_p(v)}), and {_negligible(v)}"
    )


def _undecided(v: Verdict) -> str:
    a, b = _subjects(v)
    lead = f"Undecided: by {mid(v.label)}, "
    if v.difference is None:
        return f"{lead}no seed has a score of both {v.names[0]} and {v.names[1]}"
    if v.scale == "event":
        return f"{lead}{_by(v)} ({_interval(v)}, {_p(v)})"
    verb = "score" if v.subject else "scores"
    lead += f"{a} {verb} {f'{_by(v)} than' if v.difference else 'the same as'} {b}"
    if v.sd is None:
        return f"{lead}, but a single seed gives neither an interval nor a test"
    if v.most_failed:
        return f"{lead} ({_interval(v)}), but most seeds have a failed run, so there is no typical run to compare"
    if v.within_gap and v.gap is not None:
        return f"{lead} ({_interval(v)}), which is within the gap of their bounds, {number(v.gap, 2)}{_unit(v)}"
    if v.imputed:
        return f"{lead} ({_interval(v)}, {_p(v)})"
    if not v.sd and not v.difference:
        return f"{lead} ({_interval(v)}, {_p(v)}), which does not say how far apart other seeds would lie"
    return f"{lead} ({_interval(v)}, {_p(v)}); {needed(v.seeds_needed_low, v.seeds_needed_high, v.n)}"


def needed(low: int | None, high: int | None, seeds: int) -> str:
    """How many seeds would settle a comparison, as far as so many seeds can tell."""
    if low is None:
        return f"more than {MOST_SEEDS} seeds would be needed to settle it"
    span = needed_span(low, high)
    if seeds <= FEW_SEEDS:
        return f"{seeds} seeds are too few to say how many would settle it ({span})"
    return f"{span} in all would settle it with 80 % power, if the effect is as seen"


def needed_span(low: int | None, high: int | None) -> str:
    """The range of that number: "13 to 67 seeds", "about 6 seeds", "more than 1000 seeds"."""
    if low is None:
        return f"more than {MOST_SEEDS} seeds"
    most = str(high) if high else f"more than {MOST_SEEDS}"
    return f"{low} to {most} seeds" if most != str(low) else f"about {low} seeds"


def _undefined(v: Verdict) -> str:
    pairs = zip((v.a, v.b), v.names, strict=True)
    gaps = [f"{name} has no {mid(v.label)} ({v.undefined[f]})" for f, name in pairs if f in v.undefined]
    return f"Undefined, {v.names[0]} against {v.names[1]}: {' and '.join(gaps)}"


def _asides(v: Verdict) -> str:
    """What a reader must know besides: seeds without a pair, failed runs, and what the verdict assumes."""
    text = "".join(f"; {count(number, 'seed')} left out ({why})" for why, number in v.left_out.items())
    if v.imputed:
        text += ", and the verdict must also hold with the missing scores at the worst"
    if v.gap and not v.within_gap:
        text += (
            f"; scores are bounds, up to {number(v.gap, 2)}{_unit(v)} from the truth, and only what exceeds that counts"
        )
    if v.looks and _contradicted(v):
        text += f"; decided by the first {v.decided_at} seeds, and the interval of all is wider"
    if v.unresolved:
        text += f"; {count(v.unresolved, 'value')} too small for these images to tell, taken as their standard error"
    for framework, name in zip((v.a, v.b), v.names, strict=True):
        risk = v.risks.get(framework)
        if risk and risk.failed and framework not in v.undefined and v.scale != "event":
            text += f"; {risk_of(risk.failed, risk.runs, risk.low, risk.high, name, risk.how)}"
    if v.rescaled:
        text += f"; compared by differences, for {v.rescaled}"
    exact = f" (exact {_exact_p(v)})" if v.rests_on == "signs" else ""
    return text + RESTS_ON[v.rests_on] + exact


def _exact_p(v: Verdict) -> str:
    text = _digits(v.p_sign_adjusted, v.alpha)
    return f"p {text}"


def _contradicted(v: Verdict) -> bool:
    """Whether a verdict of an earlier look is no longer what the interval of all seeds says."""
    low, high = (v.narrow_low, v.narrow_high) if v.verdict == "equivalent" else (v.low, v.high)
    if v.verdict not in ("better", "worse", "equivalent") or low is None or high is None or v.scale == "event":
        return False
    if v.verdict == "equivalent":
        smallest = v.smallest_effect or 0.0
        return max(1 / low, high) > smallest if _is_factor(v) else max(-low, high) > smallest
    return low < (1.0 if _is_factor(v) else 0.0) < high


def risk_of(failed: int, runs: int, low: float, high: float, name: str = "", how: Mapping[str, int] = _NONE) -> str:
    """The risk of a framework in words: "1 of 5 GAN runs failed (collapsed; true share 0.5 % to 72 %)"."""
    of = f"{failed} of {count(runs, f'{name} run' if name else 'run')} failed"
    if not failed:
        return f"{of}; the true share may be up to {percent(high)}"
    return f"{of} ({''.join(f'{way}, ' for way in how)}true share {percent(low)} to {percent(high)})"


def mostly_failed(risks: Mapping[str, Mapping[str, Any]]) -> str:
    """That most runs of some frameworks failed, from the risk of each, as in verdicts.json; empty if none did."""
    failing = {f: risk for f, risk in risks.items() if 2 * risk["failed"] > risk["runs"]}
    if not failing:
        return ""
    counts = listed([f"{display(f)} ({risk['failed']} of {risk['runs']})" for f, risk in failing.items()])
    which = "it is" if len(failing) == 1 else "they are"
    return (
        f"Most runs of {counts} failed. Train on more images, or choose another learning rate, before {which} "
        "compared with others."
    )


def primary(verdicts: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The verdicts on primary metrics, as in verdicts.json, or all where no metric is primary."""
    return [row for row in verdicts if row.get("role") == "primary"] or list(verdicts)


def percent(share: float) -> str:
    """A share as "0.5 %" or "71 %"."""
    return f"{number(100 * share, 2)} %"


def _subjects(v: Verdict) -> tuple[str, str]:
    """How a and b are called: "VAE-GAN's samples" and "VAE's", or their plain names."""
    a, b = v.names
    return (f"{a}'s {v.subject}", f"{b}'s") if v.subject else (a, b)


def _negligible(v: Verdict) -> str:
    if v.scale == "factor":
        return f"the smallest effect of interest is a factor of {v.smallest_effect:g}"
    return f"the smallest effect of interest is {v.smallest_effect:g}{_unit(v)}"


def _is_factor(v: Verdict) -> bool:
    return v.scale == "factor" and not v.rescaled


def _by(v: Verdict) -> str:
    """The effect as "12.3 dB lower", "2.2 times lower" or "3 of 5 runs against 0 of 5"; empty if there is none."""
    return f"{_amount(v)} {_way(v)}".strip()


def _amount(v: Verdict) -> str:
    if v.scale == "event" and v.mean_a is not None and v.mean_b is not None:
        return f"{round(v.mean_a * v.n)} of {count(v.n, 'run')} against {round(v.mean_b * v.n)} of {v.n}"
    if not v.difference or v.effect is None:
        return ""
    if _is_factor(v):
        return f"{_factor(v)(v.effect)} times"
    return f"{_format(v)(abs(v.effect))}{_unit(v)}"


def _way(v: Verdict) -> str:
    if not v.difference or v.scale == "event":
        return ""
    return "lower" if v.difference < 0 else "higher"


def effect(v: Verdict) -> dict[str, str]:
    """The effect, its direction and its 95 % interval in words: "2.2 times", "lower", "1.8 to 2.7"; empty without."""
    amount = _amount(v) or ("the same" if v.effect is not None else "")
    return {"effect_text": amount, "direction": _way(v), "interval_text": _span(v, v.low, v.high)}


def _interval(v: Verdict) -> str:
    """The interval and the seeds: "95 % interval 8.1 to 16.5, 3 seeds", along the effect.

    Next to "equivalent" stands the 90 % interval, by which it is judged: the 95 % one may exceed the margin.
    """
    if v.low is None or v.high is None:
        return f"the same in all {count(v.n, 'seed')}"
    if v.scale == "event":
        wide = ", which covers more than that" if v.low < 0 < v.high and v.verdict != "undecided" else ""
        return f"exact 95 % interval of the difference {_span(v, v.low, v.high)}{wide}"
    if v.verdict == "equivalent" and v.narrow_low is not None and v.narrow_high is not None:
        return f"90 % interval {_span(v, v.narrow_low, v.narrow_high)}, {count(v.n, 'seed')}"
    return f"95 % interval {_span(v, v.low, v.high)}, {count(v.n, 'seed')}"


def _span(v: Verdict, low: float | None, high: float | None) -> str:
    if low is None or high is None or v.effect is None:
        return ""
    if v.scale == "event":
        return f"{number(low, 2)} to {number(high, 2)}"
    show, none = (_factor(v), 1.0) if _is_factor(v) else (_format(v), 0.0)
    times = " times" if _is_factor(v) else ""
    if low < none < high:
        low, high = (low, high) if _is_factor(v) else (-low, high)
        return f"{show(low)}{times} lower to {show(high)}{times} higher"
    if v.effect >= none:
        return f"{show(low)} to {show(high)}"
    low, high = (high, low) if _is_factor(v) else (-high, -low)
    return f"{show(low)} to {show(high)}"


def _factor(v: Verdict) -> Callable[[float], str]:
    """One number format for a ratio and its interval, each as a factor of at least 1: two digits of what exceeds 1."""
    known = [max(x, 1 / x) - 1 for x in (v.effect, v.low, v.high) if x]
    decimals = min(4, _decimals(max(min(known, default=1.0), 1e-4), 2)) if known else 2
    decimals = min(decimals, max(1, _decimals(max(known) + 1, 3))) if known else 2

    def show(x: float) -> str:
        return number(max(x, 1 / x), 3) if max(known) > 100 else f"{max(x, 1 / x):.{decimals}f}"

    return show


def _p(v: Verdict) -> str:
    """The p-values that the verdict rests on, e.g. "p = 0.004 after Holm over 7 comparisons"."""
    over = f" after Holm over {v.comparisons} comparisons" if v.comparisons > 1 else ""
    differs, same = (_digits(p, v.alpha) for p in (v.p_adjusted, v.p_equivalence_adjusted))
    if v.verdict == "undecided" and same:
        return f"p {differs} for a difference and {same.removeprefix('= ')} for equivalence{over}"
    return f"p {same if v.verdict == 'equivalent' else differs}{over}"


def _digits(p: float | None, alpha: float) -> str:
    """A p-value with as many digits as it takes to stand on its own side of alpha; empty for None."""
    if p is None:
        return ""
    if p < 0.001 <= alpha:
        return "< 0.001"
    texts = (f"{p:.{digits}g}" for digits in range(2, 17))
    return "= " + next((text for text in texts if (float(text) < alpha) == (p < alpha)), repr(p))


def _format(v: Verdict) -> Callable[[float], str]:
    """One number format for a difference and its interval: two digits of the half-width, one of each."""
    numbers = [abs(x) for x in (v.effect, v.low, v.high) if x]
    if not numbers or max(numbers) >= 1e7 or max(numbers) < 1e-5:
        return lambda x: f"{x:.3g}"
    if v.low is None or v.high is None:
        decimals = _decimals(numbers[0], 3)
        return lambda x: f"{x:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{x:.0f}"
    decimals = _decimals((v.high - v.low) / 2, 2)
    decimals = max(decimals, min(decimals + 2, _decimals(min(numbers), 1)))
    return lambda x: f"{x:.{decimals}f}"


def _decimals(x: float, digits: int) -> int:
    """Decimal places that show so many significant digits of x > 0; none below the unit."""
    return max(0, digits - 1 - math.floor(math.log10(x)))


def _unit(v: Verdict) -> str:
    """The unit as spoken after a number, "dB" or "bits"; several words, "squared MMD", would not read."""
    return f" {v.unit}" if v.unit and v.unit not in UNSPOKEN and " " not in v.unit else ""


def mid(label: str) -> str:
    """The label in mid-sentence: "Reconstruction error" loses its capital, "PSNR" and names keep it."""
    first = label.split(" ")[0]
    keeps = first[1:] != first[1:].lower() or first.startswith(PROPER)
    return label if keeps else label[:1].lower() + label[1:]
