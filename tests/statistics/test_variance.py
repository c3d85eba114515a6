"""Shares of variance: the interval against its definition, coverage by simulation, and what is said of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats as reference

from triptych.verdicts.scales import Scale
from triptych.verdicts.variance import Part, Question, breakdown, ratio_of_variances, sentence, text


def question(seeds: int, scale: Scale = "difference", **other: Any) -> Question:
    values: dict[str, Any] = {"metric": "m", "label": "Error", "role": "primary", "framework": "vae", "condition": {}}
    return Question(scale=scale, seeds=seeds, **{**values, **other})


def runs(a: np.ndarray, score: Any, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Scores by group, as a study has them, from the levels [n, k] of k sources at n seeds."""
    values = {"all": score(a).tolist()}
    for place, name in enumerate(names):
        alone = np.repeat(a[:1], len(a), 0)
        alone[:, place] = a[:, place]
        values[name] = score(alone).tolist()
    return values


@pytest.mark.parametrize("n", [3, 5, 12])
def test_at_the_ends_of_the_interval_the_test_of_pitman_and_morgan_has_p_of_5_per_cent(n: int):
    """Var(x) = q Var(y) exactly when x + sqrt(q) y and x - sqrt(q) y are uncorrelated; its p is scipy's."""
    draw = np.random.default_rng(n)
    y = draw.normal(size=n)
    x = 0.6 * y + draw.normal(size=n)
    ratio, low, high = ratio_of_variances(x, y)
    assert low < ratio < high
    assert ratio == pytest.approx(np.var(x) / np.var(y))
    for end in (low, high):
        p = reference.pearsonr(x + math.sqrt(end) * y, x - math.sqrt(end) * y).pvalue
        assert p == pytest.approx(0.05, abs=1e-9)


def test_a_ratio_needs_three_pairs_that_vary():
    for one, other in (([1.0, 2.0], [1.0, 3.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [5.0] * 3)):
        with pytest.raises(ValueError, match="three or more"):
            ratio_of_variances(one, other)


def holds(part: Part, share: float) -> bool:
    """Whether the interval of a part has this share in it."""
    return part.low is not None and part.high is not None and part.low <= share <= part.high


SHARES = (0.6, 0.3, 0.1)
NAMES = ("initial", "order", "noise")


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["difference", "factor"])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_hold_the_true_shares_in_95_per_cent_of_studies(n: int, scale: Scale):
    """Three sources that add up on the scale, with known shares, through the code that writes variance.json."""
    draw, studies, held = np.random.default_rng(n), 1000, np.zeros(3)

    def score(a: np.ndarray) -> np.ndarray:
        x = (a * np.sqrt(SHARES)).sum(-1)
        return np.exp(0.3 * x) if scale == "factor" else 7 + x

    for _ in range(studies):
        parts = breakdown(question(n, scale), runs(draw.normal(size=(n, 3)), score, NAMES)).parts
        held += [
            p.low is not None and p.high is not None and p.low <= s <= p.high
            for p, s in zip(parts, SHARES, strict=True)
        ]
    assert (np.abs(held / studies - 0.95) < 4 * math.sqrt(0.95 * 0.05 / studies)).all()


@pytest.mark.slow
def test_intervals_hold_where_every_combination_of_seeds_gives_a_score_of_its_own():
    """Training is chaotic: another order gives another run, whatever else is the same. Every share is then 100 %."""
    draw, studies, held, n = np.random.default_rng(0), 1000, 0, 5
    for _ in range(studies):
        first = draw.normal()
        values = {group: [first, *draw.normal(size=n - 1)] for group in ("all", "order")}
        (part,) = breakdown(question(n), values).parts
        assert part.high is not None
        held += part.high == 1
    assert held / studies > 0.95 - 4 * math.sqrt(0.95 * 0.05 / studies)


def test_with_many_seeds_the_shares_are_the_true_ones():
    draw = np.random.default_rng(0)
    a = draw.normal(size=(4000, 3))
    found = breakdown(question(4000), runs(a, lambda a: (a * np.sqrt(SHARES)).sum(-1), NAMES))
    assert [part.share for part in found.parts] == pytest.approx(SHARES, abs=0.03)
    assert found.sd == pytest.approx(1, abs=0.03)
    assert found.total == pytest.approx(1, abs=0.05)


def test_shares_of_factors_are_those_of_logarithms():
    a = np.random.default_rng(1).normal(size=(6, 2))
    plain = breakdown(question(6), runs(a, lambda a: a.sum(-1), NAMES[:2]))
    factor = breakdown(question(6, "factor"), runs(a, lambda a: np.exp(a.sum(-1)), NAMES[:2]))
    assert [p.ratio for p in factor.parts] == pytest.approx([p.ratio for p in plain.parts])
    assert factor.scale == "factor"
    assert factor.spread.startswith("a factor of ")


def test_a_share_above_100_per_cent_is_cut_off_and_its_ratio_kept():
    (part,) = breakdown(question(4), {"all": [0.0, 1, 2, 1], "order": [0.0, 9, -9, 3]}).parts
    assert part.ratio is not None and part.ratio > 10
    assert (part.share, part.high) == (1, 1)


def test_a_source_that_moves_nothing_has_a_share_of_0_and_no_interval():
    found = breakdown(question(3), {"all": [1.0, 2, 4], "samples": [1.0, 1, 1], "order": [1.0, 2, 3]})
    samples, order = found.parts
    assert (samples.share, samples.low, samples.high, samples.is_same) == (0, None, None, True)
    assert text(samples) == "0 %, the same in all runs"
    assert order.low is not None
    assert sentence(found).endswith("from the order of the data, and none comes from the evaluation samples.")


def test_a_score_that_is_missing_leaves_its_source_without_a_share_and_says_why():
    found = breakdown(question(3), {"all": [1.0, 2, 4], "order": [1.0, None, 3], "noise": [1.0, 2, 3]}, why="NaN")
    order, noise = found.parts
    assert order.share is None
    assert order.why == "1 of 3 runs without this score (NaN)"
    assert noise.share is not None
    assert found.total is None
    assert (
        "the share of the order of the data (1 of 3 runs without this score (NaN)) is not known"
        in found.to_dict()["sentence"]
    )


@pytest.mark.parametrize(
    ("everything", "why"), [([1.0, None, 2.0], "1 of 3 runs without this score"), ([2.0] * 3, "the same in all runs")]
)
def test_without_a_total_there_are_no_shares(everything: list[float | None], why: str):
    found = breakdown(question(3), {"all": everything, "order": [1.0, 2, 3]})
    assert found.parts[0].share is None
    assert why in sentence(found)
    assert "nothing can be said" in sentence(found)


def test_values_that_do_not_fit_the_scale_are_compared_as_they_are_and_that_is_said():
    found = breakdown(question(3, "factor"), {"all": [0.0, 1, 2], "order": [0.0, 1, 3]})
    assert found.scale == "difference"
    assert found.notes


def test_a_sentence_names_the_largest_share_first_and_what_is_not_settled():
    a = np.array([[0.0, 0.0], [1.0, 0.02], [-2.0, 0.03], [0.5, -0.04]])
    said = sentence(breakdown(question(4, condition={"optimiser.rate": 0.1}), runs(a, lambda a: a.sum(-1), NAMES[:2])))
    assert said.startswith("With optimiser.rate=0.1: of the variance of error between runs of VAE, ")
    assert said.index("initial weights") < said.index("order of the data")
    assert "order is not settled" not in said
    close = sentence(breakdown(question(4), runs(a * [1, 50], lambda a: a.sum(-1), NAMES[:2])))
    assert close.endswith("; with 4 seeds their intervals overlap, so their order is not settled.")


@pytest.mark.parametrize(
    ("share", "low", "high", "said"),
    [
        (0.6, 0.08, 1.0, "60 % (8 to 100 %)"),
        (0.004, 0.0001, 0.02, "0.4 % (0 to 2 %)"),
        (0.0002, 0.0001, 0.03, "under 0.1 % (0 to 3 %)"),
        (0.0002, 0.0001, 0.0004, "under 0.1 %"),
    ],
)
def test_shares_are_written_in_per_cent(share: float, low: float, high: float, said: str):
    assert text(Part("order", sd=1.0, ratio=share, share=share, low=low, high=high)) == said
