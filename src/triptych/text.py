"""Numbers in words for people: how many, how much, how long."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MINUS = "\N{MINUS SIGN}"


def finite(value: object) -> float | None:
    """A number as a float; None for anything else, NaN and infinity included."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def number(value: object, digits: int = 4, short: bool = False) -> str:
    """A number in about `digits` significant digits, thousands set apart ("12 800"), or short ("12.8k")."""
    x = finite(value)
    if x is None:
        return "–"
    if short:
        for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(x) >= size:
                return f"{x / size:.{digits}g}{letter}".replace("-", MINUS)
    if x == int(x) and abs(x) < 1e15:
        text = f"{int(x):,}"
    elif abs(float(f"{x:.{digits}g}")) >= min(1000, 10**digits):  # 999.96 in three digits, too
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(x))))
        text = f"{x:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if decimals else text
    else:
        text = f"{x:.{digits}g}" if abs(x) >= 1e-4 else f"{x:.{max(1, digits - 2)}e}"
    return text.replace("-", MINUS).replace(",", "\N{NARROW NO-BREAK SPACE}")


def interval(low: float | None, high: float | None, show: Callable[[float], str] = lambda x: number(x, 3)) -> str:
    """An interval as "0.28 to 0.34"; empty without one."""
    return "" if low is None or high is None else f"{show(low)} to {show(high)}"


def p_value(p: float | None, symbol: str = "p") -> str:
    """A p-value as "p = 0.012" or "p < 0.001"; with no symbol as "0.012" or "< 0.001"; empty without one."""
    if p is None:
        return ""
    sign, value = ("<", "0.001") if p < 0.001 else ("=" if symbol else "", f"{p:.2g}")
    return f"{symbol} {sign} {value}".strip()


def duration(seconds: float | None) -> str:
    """Seconds as "48 s", "3 min 12 s" or "2 h 5 min"."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def count(n: int, noun: str) -> str:
    """ "1 run" or "3 runs"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def capital(text: str) -> str:
    """A text that starts a line."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str], last: str = "and") -> str:
    """ "a, b and c"; empty for nothing."""
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)


def condition(table: Mapping[str, Any]) -> str:
    """A point of a grid for people: "optimiser.rate=0.001, training.order=[\"dis\", \"dec\"]"; "" for none.

    Two points never have the same text: one that could be read in two ways is quoted.
    """
    return ", ".join(f"{key}={_value(value)}" for key, value in table.items())


def condition_key(table: Mapping[str, Any]) -> str:
    """A point of a grid as a key: the same text for equal points, whatever the order of their fields."""
    return json.dumps(table, sort_keys=True, ensure_ascii=False)


def _value(value: Any) -> str:
    """A value as JSON; a text that is a plain word stays bare."""
    if isinstance(value, str) and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_plain(word: str) -> bool:
    """Whether a text cannot be taken for a value of another kind, or for the beginning of the next field."""
    try:
        json.loads(word)
    except ValueError:
        return word.strip() == word != "" and not any(mark in word for mark in ',=\n"')
    return False
