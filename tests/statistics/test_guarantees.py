"""Verdicts keep their level for every law of the seeds that they promise it for, and each protection is needed.

The rows are those of `scripts/verdict_simulation.py`, with fewer studies; docs/results/verdicts.md has the long run.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from triptych.verdicts import comparisons, events, evidence, scales, sequential, stats

pytestmark = pytest.mark.slow

STUDIES = 200
ALPHA = 0.05


def script() -> ModuleType:
    """`scripts/verdict_simulation.py`, which is in no package."""
    path = Path(__file__).resolve().parents[2] / "scripts" / "verdict_simulation.py"
    spec = importlib.util.spec_from_file_location("verdict_simulation", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SIMULATION = script()
ROWS = {row.name: row for row in SIMULATION.ROWS}
MOST = ALPHA + 4 * math.sqrt(ALPHA * (1 - ALPHA) / STUDIES)
"""Four binomial deviations above the level."""


def rate(name: str, n: int, studies: int = STUDIES) -> float:
    row = ROWS[name]
    return sum(row.wrong(np.random.default_rng([5, n, study]), n) for study in range(studies)) / studies


@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize("name", ROWS)
def test_wrong_verdicts_stay_at_their_level(name: str, n: int):
    assert rate(name, n) <= MOST


def test_power_is_that_of_the_t_test_on_normal_data():
    for ours, plain in SIMULATION.powers(STUDIES).values():
        assert ours >= plain - 0.02


def test_looks_hold_their_level_and_save_seeds_where_there_is_a_difference():
    null, _, _, clear = SIMULATION.sequences(STUDIES)
    assert null["decided"] <= MOST < null["peeking"], "peeking without thresholds breaks the level"
    assert clear["decided"] > 0.99 and clear["seeds"] < 7


# Each protection is taken away, and the level is broken.


def test_events_under_a_t_test_break_the_level(monkeypatch: pytest.MonkeyPatch):
    def as_scores(a: Any, b: Any, question: evidence.Question) -> evidence.Evidence:
        plain = evidence.Question(scale="difference", better=question.better, smallest_effect=0.1)
        return evidence._measured(a, b, plain)

    def without_spread(a: Any, b: Any, margin: float) -> float:
        d = np.asarray(a) - np.asarray(b)
        return 2.0 ** -len(d) if np.ptp(d) == 0 else stats.equivalence_p(a, b, margin) or 0.0

    monkeypatch.setattr(evidence, "_counted", as_scores)
    name = "events, rates 0.1 and 0, margin 0.1: equivalence is claimed"
    assert rate(name, 10) <= MOST, "no spread is no evidence, whichever test there is"
    monkeypatch.setattr(
        evidence, "_tests", lambda sides, margin, question: (1.0, without_spread(*sides[0], margin), 1.0)
    )
    assert rate(name, 10) > MOST


def test_the_raw_scale_breaks_the_level_of_lognormal_scores(monkeypatch: pytest.MonkeyPatch):
    name = "lognormal against tight, typical runs alike: a difference is claimed"
    monkeypatch.setattr(scales, "fits", lambda scale, values: scale == "difference")
    assert rate(name, 20) > MOST


def test_survivors_alone_break_the_level(monkeypatch: pytest.MonkeyPatch):
    tests = evidence._tests
    monkeypatch.setattr(evidence, "_tests", lambda sides, margin, looks: tests(sides[:1], margin, looks))
    assert rate("the worse half of one side undefined, laws alike: a difference is claimed", 10) > MOST


def test_collapsed_runs_among_the_others_hide_a_difference(monkeypatch: pytest.MonkeyPatch):
    def found() -> float:
        draws = (np.random.default_rng([1, study]) for study in range(100))
        return sum(SIMULATION.collapsing(draw, 8, factor=0.6).verdict == "better" for draw in draws) / 100

    assert found() > 0.9
    monkeypatch.setattr(comparisons, "_failed", lambda table, asked, failures: {})
    assert found() < 0.6


def test_no_adjustment_breaks_the_level_of_a_family(monkeypatch: pytest.MonkeyPatch):
    name = "three frameworks, two metrics, all alike: any difference is claimed"
    monkeypatch.setattr(comparisons.stats, "holm", np.asarray)
    assert rate(name, 5) > MOST


# The parts.


@pytest.mark.parametrize(
    ("count", "n", "low", "high"), [(0, 3, 0.0, 0.7076), (1, 5, 0.00505, 0.7164), (5, 5, 0.4782, 1)]
)
def test_a_rate_has_the_exact_interval(count: int, n: int, low: float, high: float):
    found = events.rate(count, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    reference = pytest.importorskip("scipy.stats").binomtest(count, n).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_calibrated_p_is_the_rate_at_which_some_look_is_as_small():
    looks = (3, 5, 8, 12)
    assert sequential.calibrated(0.05, (5,)) == 0.05
    draw = np.random.default_rng(99)
    values = draw.standard_normal((20_000, 12))
    hits = np.zeros(len(values), dtype=bool)
    for n in looks:
        hits |= np.array([(stats.paired(x[:n], np.zeros(n)).p or 1.0) <= 0.02 for x in values[:, :n]])
    assert sequential.calibrated(0.02, looks) == pytest.approx(hits.mean(), abs=4 * math.sqrt(0.06 / len(values)))
    assert 0.02 < sequential.calibrated(0.02, looks) < 4 * 0.02


@pytest.mark.parametrize("scale", ["difference", "factor", "share"])
def test_an_effect_as_large_as_the_margin_is_at_the_margin(scale: Any):
    smallest = 1.1 if scale == "factor" else 0.02
    for level in (-6.0, -1.0, 0.0, 2.5):
        effects = scales.Effects(scale, level, images=1000)
        assert effects.effect(effects.margin(smallest)) == pytest.approx(smallest, rel=1e-9)


@pytest.mark.parametrize(("scale", "values"), [("factor", [1e-9, 3.0, 1e6]), ("share", [0.0, 0.5, 1.0])])
def test_typical_values_and_their_intervals_stay_within_their_range(scale: Any, values: list[float]):
    for one in values:
        assert scales.mean(scale, [one], images=1000).point == pytest.approx(one, rel=1e-9, abs=1e-12)
    found = scales.mean(scale, values, images=1000)
    assert found.low is not None and found.high is not None
    assert 0 <= found.low < found.point < found.high
    assert scale == "factor" or found.high <= 1
