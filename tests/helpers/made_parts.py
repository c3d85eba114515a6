"""Parts of claims with invented answers."""

from __future__ import annotations

import dataclasses
from typing import Any

from triptych.claims.judging import Part


def judged(verdict: str, protocol: str = "matched", place: int = 1, **changes: Any) -> Part:
    """A part of claim C1 with this verdict: A against B by the Fréchet distance, changed as given."""
    made = Part(
        id=f"C1.{place}",
        claim="C1",
        protocol=protocol,
        statement=f"A against B, {verdict}.",
        quantity="frechet_distance",
        unit="doublings",
        scale="log2",
        expects=None if verdict == "measured" else "lower",
        estimate=-2.0,
        low=-3.0,
        high=-1.0,
        n=5,
        p=0.01,
        p_support=0.01,
        p_contradiction=1.0,
        margin=1.0,
        censored=0,
        verdict=verdict,
        amount="a factor of 0.25",
        span="0.125 to 0.5",
        least="100 %",
        finding=f"{verdict.capitalize()}: 1 against 4 (5 seeds)",
        asides={"margin": "less than 100 % is nothing"},
    )
    return dataclasses.replace(made, **changes)
