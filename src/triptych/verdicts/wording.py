"""Verdicts in words: one plain sentence from the numbers of a record, and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from triptych import plugins
from triptych.text import condition, count
from triptych.verdicts.stats import MOST_SEEDS

if TYPE_CHECKING:
    from triptych.verdicts.comparisons import Verdict

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
    return lead + write.get(v.verdict, _decided)(v) + _asides(v) + "."


def _decided(v: Verdict) -> str:
    a, b = _subjects(v)
    verb = "are" if v.subject else "is"
    text = f"{a} {verb} {v.verdict} than {b} by {_mid(v.label)}: {_by(v)} ({_interval(v)}, {_p(v)})"
    nearest = min(abs(x) for x in (v.difference, v.low, v.high) if x is not None)
    return text + (f"; {_negligible(v)}" if v.smallest_effect and nearest < v.smallest_effect else "")


def _equivalent(v: Verdict) -> str:
    a, b = _subjects(v)
    return (
        f"{a} and {b} are equivalent by {_mid(v.label)}: {v.names[0]} scores {_by(v) or 'the same'} "
        f"({_interval(v)}, {_p(v)}), and {_negligible(v)}"
    )


def _undecided(v: Verdict) -> str:
    a, b = _subjects(v)
    lead = f"Undecided: by {_mid(v.label)}, "
    if v.difference is None:
        return f"{lead}no seed has a score of both {v.names[0]} and {v.names[1]}"
    verb = "score" if v.subject else "scores"
    lead += f"{a} {verb} {f'{_by(v)} than' if v.difference else 'the same as'} {b}"
    if v.sd is None:
        return f"{lead}, but a single seed gives neither an interval nor a test"
    need = f"about {v.seeds_needed}" if v.seeds_needed else f"more than {MOST_SEEDS}"
    guess = f", as estimated from {v.n}" if v.n < 4 else ""  # an sd from so few seeds is little more than a guess
    return f"{lead} ({_interval(v)}, {_p(v)}); {need} seeds would settle it{guess}"


def _undefined(v: Verdict) -> str:
    pairs = zip((v.a, v.b), v.names, strict=True)
    gaps = [f"{name} has no {_mid(v.label)} ({v.undefined[f]})" for f, name in pairs if f in v.undefined]
    return f"Undefined, {v.names[0]} against {v.names[1]}: {' and '.join(gaps)}"


def _asides(v: Verdict) -> str:
    """What a reader must know besides: seeds without a pair, and runs that diverged."""
    text = "".join(f"; {count(number, 'seed')} left out ({why})" for why, number in v.left_out.items())
    for framework, name in zip((v.a, v.b), v.names, strict=True):
        runs = v.diverged.get(framework)
        if runs and framework not in v.undefined:
            state = "is scored from its" if runs == 1 else "are scored from their"
            text += f"; {count(runs, f'{name} run')} diverged and {state} last finite state"
    return text


def _subjects(v: Verdict) -> tuple[str, str]:
    """How a and b are called: "VAE-GAN's samples" and "VAE's", or their plain names."""
    a, b = v.names
    return (f"{a}'s {v.subject}", f"{b}'s") if v.subject else (a, b)


def _negligible(v: Verdict) -> str:
    return f"the smallest effect of interest is {v.smallest_effect:g}{_unit(v)}"


def _by(v: Verdict) -> str:
    """The difference as "12.3 dB lower"; empty if there is none."""
    d = v.difference
    return f"{_format(v)(abs(d))}{_unit(v)} {'lower' if d < 0 else 'higher'}" if d else ""


def _interval(v: Verdict) -> str:
    """The interval and the seeds: "95 % interval 8.1 to 16.5, 3 seeds", along the difference."""
    if v.low is None or v.high is None or v.difference is None:
        return f"the same in all {count(v.n, 'seed')}"
    show = _format(v)
    if v.low < 0 < v.high:
        text = f"{show(-v.low)} lower to {show(v.high)} higher"
    else:
        text = " to ".join(show(x) for x in sorted((abs(v.low), abs(v.high))))
    return f"95 % interval {text}, {count(v.n, 'seed')}"


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
    numbers = [abs(x) for x in (v.difference, v.low, v.high) if x]
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


def _mid(label: str) -> str:
    """The label in mid-sentence: "Reconstruction error" loses its capital, "PSNR" and names keep it."""
    first = label.split(" ")[0]
    keeps = first[1:] != first[1:].lower() or first.startswith(PROPER)
    return label if keeps else label[:1].lower() + label[1:]
