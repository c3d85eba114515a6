"""Small-sample statistics against closed forms, published data, scipy, statsmodels and simulation."""

# A None where a number belongs fails the test by itself.
# pyright: reportOptionalOperand=false, reportOperatorIssue=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from triptych.verdicts import stats

# R's `sleep`: extra hours of sleep of ten patients under two drugs (Cushny & Peebles 1905; Student 1908).
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def pairs(seed: int, n: int, shift: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=n) + shift, draw.normal(size=n)


def test_sleep_data_give_the_published_t_interval_and_p():
    result = stats.paired(SLEEP_1, SLEEP_2)
    d = result.difference
    assert d.n == 10
    assert d.point == pytest.approx(-1.58, abs=1e-12)
    assert (d.low, d.high) == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)
    assert result.p == pytest.approx(0.0028328902, abs=5e-11)
    assert d.point / (result.sd / math.sqrt(10)) == pytest.approx(-4.0621277, abs=5e-8)


def test_sleep_data_give_the_exact_sign_flip_p():
    # One difference is 0 and two pairs are tied, so this also shows that ties count as extreme.
    assert stats.sign_flip_p(np.subtract(SLEEP_1, SLEEP_2)) == 4 / 1024


def test_holm_of_the_textbook_example():
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02], atol=1e-15)


def test_seeds_for_eighty_percent_power_follow_the_table():
    table = {0.5: 34, 0.8: 15, 1.0: 10, 1.5: 6, 2.0: 5}
    assert {effect: stats.seeds_needed(effect, 1.0, None, 0.05) for effect in table} == table
    assert {effect: stats.seeds_needed(-7 * effect, 7.0, None, 0.05) for effect in table} == table


@pytest.mark.parametrize("n", range(1, 13))
def test_no_exact_p_is_smaller_than_the_smallest(n: int):
    p = stats.sign_flip_p(np.arange(1.0, n + 1))
    assert p == stats.smallest_sign_flip_p(n) == 2 / 2**n


def test_five_seeds_can_never_reach_five_percent_exactly():
    assert stats.smallest_sign_flip_p(5) > 0.05 > stats.smallest_sign_flip_p(6)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("seed", range(5))
def test_paired_agrees_with_scipy(n: int, seed: int):
    a, b = pairs(seed, n)
    ours, theirs = stats.paired(a, b, level=0.9), reference.ttest_rel(a, b)
    interval = theirs.confidence_interval(0.9)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-10)
    assert (ours.difference.low, ours.difference.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert ours.sd == pytest.approx(np.std(a - b, ddof=1), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_mean_agrees_with_scipy(seed: int):
    x = np.random.default_rng(seed).normal(3, 2, size=4)
    ours, theirs = stats.mean(x), reference.ttest_1samp(x, 0).confidence_interval(0.95)
    assert (ours.point, ours.low, ours.high) == pytest.approx((x.mean(), theirs.low, theirs.high), rel=1e-10)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("margin", [0.1, 0.7, 3.0])
def test_equivalence_agrees_with_statsmodels(n: int, margin: float):
    for seed in range(5):
        a, b = pairs(seed, n)
        assert stats.equivalence_p(a, b, margin) == pytest.approx(ttost_paired(a, b, -margin, margin)[0], rel=1e-9)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.floats(0.05, 3), st.sampled_from([0.01, 0.05, 0.1]))
def test_equivalent_exactly_when_the_interval_lies_within(seed: int, n: int, margin: float, alpha: float):
    a, b = pairs(seed, n)
    d = stats.paired(a, b, level=1 - 2 * alpha).difference
    assert (stats.equivalence_p(a, b, margin) < alpha) == (-margin < d.low and d.high < margin)


@pytest.mark.parametrize("m", [1, 2, 5, 30])
def test_holm_agrees_with_statsmodels(m: int):
    for seed in range(4):
        p = np.random.default_rng(seed).uniform(size=m).round(2) ** 3  # with ties
        np.testing.assert_allclose(stats.holm(p), multipletests(p, method="holm")[1], rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 12])
def test_sign_flip_agrees_with_scipy(n: int):
    a, b = pairs(n, n)
    theirs = reference.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True
    )
    assert stats.sign_flip_p(a - b) == pytest.approx(theirs.pvalue, rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 300])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 7])
def test_power_agrees_with_statsmodels(n: int, alpha: float):
    for shift in (0.1, 1.0, 2.5, 5.0):  # from 9 up, scipy's noncentral t gives NaN at some n
        effect = shift / math.sqrt(n)
        ours = stats.difference_power(n, -2 * effect, 2.0, alpha)
        assert ours == pytest.approx(TTestPower().power(effect, n, alpha), abs=1e-5)


@pytest.mark.parametrize(("n", "difference", "margin"), [(3, 0.0, 4.0), (5, 0.4, 1.6), (12, -0.2, 0.8), (30, 0.0, 0.3)])
def test_power_of_equivalence_is_what_simulation_gives(n: int, difference: float, margin: float):
    draws = 20_000
    x = np.random.default_rng(n).normal(difference, 1.0, size=(draws, n))
    half = reference.t.ppf(0.95, n - 1) * x.std(axis=1, ddof=1) / math.sqrt(n)
    found = np.mean(np.abs(x.mean(axis=1)) + half < margin)
    power = stats.equivalence_power(n, difference, 1.0, margin, 0.05)
    assert abs(found - power) < 4 * math.sqrt(power * (1 - power) / draws)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 7])
@pytest.mark.parametrize(("difference", "margin"), [(1.2, None), (0.0, 1.0), (0.3, 0.9), (0.5, 0.9), (0.7, 0.6)])
def test_seeds_needed_is_the_first_that_settles(difference: float, margin: float | None, alpha: float):
    def settled(n: int) -> bool:
        equivalent = margin is not None and stats.equivalence_power(n, difference, 1.0, margin, alpha) >= 0.8
        return equivalent or stats.difference_power(n, difference, 1.0, alpha) >= 0.8

    assert stats.seeds_needed(difference, 1.0, margin, alpha) == next(n for n in range(2, 1000) if settled(n))


def test_seeds_needed_gives_up_at_its_cap():
    assert stats.seeds_needed(0.0, 1.0, None, 0.05) is None
    assert stats.seeds_needed(0.5, 1.0, 0.5, 0.05, cap=33) is None
    assert stats.seeds_needed(0.5, 1.0, 0.5, 0.05, cap=34) == 34


def test_without_spread_only_the_exact_test_speaks():
    result = stats.paired([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    assert result.difference == stats.Estimate(2.0, None, None, 3)
    assert (result.sd, result.p) == (0.0, 2 / 2**3)
    assert stats.equivalence_p([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], 2.5) == 1.0
    assert stats.equivalence_p([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], 2.0) == 1.0
    assert stats.paired([1.0, 7.0], [1.0, 7.0]).p == 1.0
    # 2/2^n first falls below 0.05 at six seeds; equivalence is never proved by values without spread.
    assert stats.seeds_needed(2.0, 0.0, None, 0.05) == 6
    assert stats.seeds_needed(0.0, 0.0, 1.0, 0.05) is None
    assert stats.seeds_needed(0.0, 0.0, None, 0.05) is None


@pytest.mark.parametrize("p", [[0.01, math.nan], [-0.1], [1.5]])
def test_what_is_no_p_value_is_not_adjusted(p: list[float]):
    with pytest.raises(ValueError, match="between 0 and 1"):
        stats.holm(p)


def test_rounding_is_neither_spread_nor_difference():
    result = stats.paired([0.1 + 0.2, 0.3, 0.1 + 0.2], [0.3, 0.1 + 0.2, 0.3])
    assert (result.difference.point, result.sd, result.p) == (0.0, 0.0, 1.0)


def test_one_value_has_no_interval_and_no_p():
    assert stats.paired([2.0], [1.0]) == stats.Paired(stats.Estimate(1.0, None, None, 1), None, None)
    assert stats.equivalence_p([2.0], [1.0], 5.0) is None
    assert stats.mean([2.0]) == stats.Estimate(2.0, None, None, 1)


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e200])
def test_the_unit_of_measurement_does_not_matter(scale: float):
    a, b = np.array(SLEEP_1), np.array(SLEEP_2)
    assert stats.paired(scale * a, scale * b).p == pytest.approx(stats.paired(a, b).p, rel=1e-9)


def test_bad_arrays_are_refused():
    for a, b in (([], []), ([1.0, 2.0], [1.0]), ([math.nan], [1.0]), ([math.inf], [1.0])):
        with pytest.raises(ValueError, match=r"finite|match"):
            stats.paired(a, b)
    with pytest.raises(ValueError, match="positive"):
        stats.equivalence_p([1.0], [2.0], 0.0)


def test_many_signs_are_flipped_at_random_and_agree_with_all_of_them():
    d = np.random.default_rng(4).normal(0.4, 1, 30)
    exact = stats.sign_flip_p(d)
    assert stats.sign_flip_p(np.append(d, 0.0)) == pytest.approx(exact, abs=4 * math.sqrt(exact / 100_000))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_and_p_is_uniform_under_the_null(n: int):
    """4 binomial standard deviations: a sound routine fails one time in 16,000, and its seed is fixed."""
    draws, draw = 4000, np.random.default_rng(1000 + n)
    shared = draw.normal(0, 5, size=(draws, n))  # a seed is a block: both sides share its luck
    a, b = shared + draw.normal(1.0, 1, size=(draws, n)), shared + draw.normal(1.0, 2, size=(draws, n))
    results = [stats.paired(x, y) for x, y in zip(a, b, strict=True)]
    covered = np.mean([r.difference.low <= 0 <= r.difference.high for r in results])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / draws)
    single = [stats.mean(x) for x in a]
    covered = np.mean([r.low <= 1 <= r.high for r in single])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / draws)
    # Dvoretzky-Kiefer-Wolfowitz: P(sup |F_n - F| > e) <= 2 exp(-2 N e^2), here 1e-4.
    assert reference.kstest([r.p for r in results], "uniform").statistic < math.sqrt(math.log(2e4) / (2 * draws))


def test_equivalence_holds_its_level_at_the_margin():
    draws, n, margin = 4000, 5, 1.5
    x = np.random.default_rng(7).normal(margin, 1.0, size=(draws, n))
    found = np.mean([stats.equivalence_p(row, np.zeros(n), margin) < 0.05 for row in x])
    assert found < 0.05 + 4 * math.sqrt(0.05 * 0.95 / draws)
