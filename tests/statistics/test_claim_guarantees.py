"""What claims guarantee, simulated through the code that judges them: false verdicts at the level, whatever the law.

Each check judges simulated studies of hand-made runs. `MOST` is the level and three standard errors of a share of so
many studies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hand_made import results, run
from triptych.claims.judging import judge_parts
from triptych.claims.quantities import Quantity
from triptych.claims.spec import PartSpec, Side

pytestmark = pytest.mark.slow

STUDIES = 300
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
Scores = dict[str, Any]


def share_of_verdicts(
    verdicts: tuple[str, ...], n: int, law: Callable[[np.random.Generator, str, int], Scores], **asked: Any
) -> float:
    """The share of simulated studies of n seeds that end with such a verdict on GAN against VAE."""
    draw, found = np.random.default_rng(5), 0
    given = {"quantity": Quantity(metric="frechet_distance"), "expects": "lower", **asked}
    sides = {letter: Side(framework=name, study="s") for letter, name in (("a", "gan"), ("b", "vae"))}
    spec = PartSpec(statement="GAN against VAE.", **sides, **given)
    for _ in range(STUDIES):
        runs = [run("s", name, seed, law(draw, name, seed)) for name in ("gan", "vae") for seed in range(n)]
        [part] = judge_parts("X", [spec], results(*runs))
        found += part.verdict in verdicts
    return found / STUDIES


DECIDED = ("supported", "contradicted")


def typical(draw: np.random.Generator, name: str, sd: float) -> float:
    return float(32 * np.exp(draw.normal(0, sd)))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_one_wide_and_one_tight_law_with_the_same_typical_run(n: int) -> None:
    """Lognormal against tight normal: t tests of the values themselves were false in 10 to 13 % of studies."""

    def law(draw: np.random.Generator, name: str, seed: int) -> Scores:
        return {"frechet_distance": typical(draw, name, 0.8 if name == "gan" else 0.05)}

    assert share_of_verdicts(DECIDED, n, law) < MOST


@pytest.mark.parametrize("n", [3, 5, 10])
def test_one_run_in_five_that_collapses_with_the_same_typical_run(n: int) -> None:
    """A GAN that collapses to 15, against 32 of either: false in 8 to 52 % of studies when all runs were averaged."""

    def law(draw: np.random.Generator, name: str, seed: int) -> Scores:
        collapsed = name == "gan" and draw.random() < 0.2
        score = 15.0 + draw.normal(0, 0.1) if collapsed else typical(draw, name, 0.05)
        return {"frechet_distance": score, "collapsed": float(collapsed)}

    assert share_of_verdicts(DECIDED, n, law) < MOST


@pytest.mark.parametrize("n", [6, 10])
def test_the_worse_half_of_one_side_has_no_score(n: int) -> None:
    """Laws are alike, and the GAN's runs above their median are lost: survivors look better than they are."""

    def law(draw: np.random.Generator, name: str, seed: int) -> Scores:
        score = typical(draw, name, 0.3)
        is_lost = name == "gan" and score > 32
        return {"frechet_distance": {"value": None, "undefined": "lost"} if is_lost else score}

    assert share_of_verdicts(("supported",), n, law) < MOST


@pytest.mark.parametrize("n", [5, 8, 20])
@pytest.mark.parametrize("expects", ["equivalent", "not higher"])
def test_rates_that_differ_by_the_margin_are_not_called_alike(n: int, expects: str) -> None:
    """Collapse at 10 % against 0, margin 0.1: without spread "equivalent" was said in 12 to 56 % of studies."""

    def law(draw: np.random.Generator, name: str, seed: int) -> Scores:
        return {"collapsed": float(name == "gan" and draw.random() < 0.1)}

    quantity = Quantity(metric="collapsed")
    assert share_of_verdicts(("supported",), n, law, quantity=quantity, expects=expects, margin=0.1) < MOST


def test_what_is_there_is_found() -> None:
    """The checks above would hold for an engine that never decides."""

    def law(draw: np.random.Generator, name: str, seed: int) -> Scores:
        return {"frechet_distance": typical(draw, name, 0.2) / (3 if name == "gan" else 1), "collapsed": 0.0}

    assert share_of_verdicts(("supported",), 5, law) > 0.9
