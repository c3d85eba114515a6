"""Paired and independent sides: against scipy, by counting, and by what must not matter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from triptych.verdicts import stats
from triptych.verdicts.designs import INDEPENDENT, PAIRED, permutation_p

A = np.array([1.0, 2.5, 2.0, 4.0, 3.5])
B = np.array([3.0, 4.5, 6.0, 4.2, 7.0])


def test_the_difference_of_pairs_is_the_paired_t_test():
    found = PAIRED.difference(A, B)
    theirs = scipy_stats.ttest_rel(A, B)
    interval = theirs.confidence_interval(0.9)
    assert found.beyond_p() == pytest.approx(theirs.pvalue, rel=1e-9) == stats.paired(A, B).p
    assert found.interval(0.9) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.within_p(5.0) == stats.equivalence_p(A, B, 5.0)


@pytest.mark.parametrize("b", [B, B[:3]])
def test_the_difference_of_independent_sides_is_welchs(b):
    found = INDEPENDENT.difference(A, b)
    theirs = scipy_stats.ttest_ind(A, b, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert found.beyond_p() == pytest.approx(theirs.pvalue, rel=1e-9)
    assert found.interval() == pytest.approx((interval.low, interval.high), rel=1e-9)
    upper = scipy_stats.ttest_ind(A + 5, b, equal_var=False, alternative="greater").pvalue
    lower = scipy_stats.ttest_ind(A - 5, b, equal_var=False, alternative="less").pvalue
    assert found.within_p(5.0) == pytest.approx(max(upper, lower), rel=1e-9)


@pytest.mark.parametrize("design", [PAIRED, INDEPENDENT])
def test_beyond_a_gap_is_the_one_sided_test_at_the_gap_doubled(design):
    moved = design.difference(A + 1.0, B)  # A lies below B: 1 nearer
    assert design.difference(A, B).beyond_p(gap=1.0) == pytest.approx(moved.beyond_p(), rel=1e-9)
    assert design.exact_p(A, B, 1.0) == design.exact_p(A + 1.0, B, 0.0) > design.exact_p(A, B, 0.0)
    assert design.difference(A, B).beyond_p(gap=10.0) == 1.0 == design.exact_p(A, B, 10.0)


def test_the_permutation_p_counts_the_ways_to_part_the_values():
    values = [*A, *B[:3]]
    seen = abs(np.mean(A) - np.mean(B[:3]))
    ways = [set(way) for way in itertools.combinations(range(8), 5)]
    apart = [abs(np.mean([values[i] for i in w]) - np.mean([values[i] for i in range(8) if i not in w])) for w in ways]
    assert permutation_p(A, B[:3]) == np.mean(np.array(apart) >= seen - 1e-12)
    assert permutation_p([0.0] * 4, [1.0] * 4) == 2 / 70
    assert permutation_p([1.0, 1.0], [1.0, 1.0]) == 1.0


def test_many_values_are_parted_at_random_and_the_seen_way_is_one_of_them():
    draw = np.random.default_rng(0)
    x, y = draw.normal(0.0, 1.0, 30), draw.normal(0.3, 1.0, 30)
    expected = scipy_stats.ttest_ind(x, y).pvalue
    assert 0.001 < expected < 0.5 and permutation_p(x, y) == pytest.approx(expected, rel=0.1)
    assert permutation_p(np.arange(30.0), np.arange(100.0, 130.0)) == 1 / 200_000


def test_the_exact_tests_hold_their_level_when_nothing_differs():
    draw = np.random.default_rng(1)
    draws = draw.lognormal(size=(800, 2, 5))
    for design in (PAIRED, INDEPENDENT):
        assert np.mean([design.exact_p(x, y, 0.0) <= 0.07 for x, y in draws]) < 0.07 + 4 * np.sqrt(0.07 * 0.93 / 800)


def test_one_value_has_no_error_and_equal_values_no_spread():
    single = INDEPENDENT.difference(A[:1], B)
    assert (single.error, single.sd, single.interval()) == (None, None, (None, None))
    assert (single.beyond_p(), single.within_p(1.0)) == (1.0, 1.0)
    for design in (PAIRED, INDEPENDENT):
        same = design.difference(np.full(4, 0.3), np.full(4, 0.1 + 0.2))
        assert same.sd == 0 and same.within_p(1.0) == 1.0
    assert PAIRED.exact_p(np.full(8, 0.3), np.full(8, 0.1 + 0.2), 0.0) == 1.0  # rounding is no difference
