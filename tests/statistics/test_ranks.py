"""Ranks over data sets: critical differences as published, the level under the null, and what is missing ranks last."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from triptych.verdicts.ranks import rank

NAMES = ["a", "b", "c"]


def table(values: np.ndarray) -> list[dict[str, float | None]]:
    return [dict(zip(NAMES, row.tolist(), strict=False)) for row in values]


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_demsar(k: int, q: float):
    """Demšar (2006), table 5 (a)."""
    names = [str(place) for place in range(k)]
    rows = [dict(zip(names, np.random.default_rng(i).normal(size=k).tolist(), strict=True)) for i in range(14)]
    found = rank(rows, names, "lower")
    assert found is not None and found.critical_difference is not None
    assert found.critical_difference == pytest.approx(q * math.sqrt(k * (k + 1) / (6 * 14)), rel=5e-4)


def test_the_p_is_that_of_the_friedman_test():
    draws = np.random.default_rng(1).normal(size=(40, 3)) + [0.0, 0.3, 0.5]
    found = rank(table(draws), NAMES, "lower")
    assert found is not None
    assert found.p == pytest.approx(scipy.stats.friedmanchisquare(*draws.T).pvalue, abs=0.02)


def test_one_order_on_three_data_sets_has_the_exact_p_of_its_permutations():
    found = rank(table(np.array([[1.0, 2.0, 3.0]] * 3)), NAMES, "lower")
    assert found is not None
    assert found.mean_ranks == [1, 2, 3] and found.p == pytest.approx(6 / 6**3)
    assert found.decided == [("a", "c")] and found.groups == [[0, 1], [1, 2]]
    upwards = rank(table(np.array([[1.0, 2.0, 3.0]] * 3)), NAMES, "higher")
    assert upwards is not None and upwards.decided == [("c", "a")]


def test_two_data_sets_and_one_decide_nothing():
    for rows in (1, 2):
        found = rank(table(np.array([[1.0, 2.0, 3.0]] * rows)), NAMES, "lower")
        assert found is not None and found.decided == [] and found.groups == [[0, 1, 2]]


@pytest.mark.slow
@pytest.mark.parametrize("data_sets", [3, 5, 10])
def test_frameworks_that_are_alike_seldom_differ(data_sets: int):
    studies = 400
    wrong = 0
    for study in range(studies):
        found = rank(table(np.random.default_rng([data_sets, study]).normal(size=(data_sets, 3))), NAMES, "lower")
        wrong += bool(found and found.decided)
    assert wrong / studies < 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


def test_who_has_no_score_on_a_data_set_ranks_last_there_and_is_counted():
    rows: list[dict[str, float | None]] = [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": None, "b": 2.0, "c": 3.0}]
    found = rank(rows, NAMES, "lower")
    assert found is not None
    assert found.ranks == [[1, 2, 3], [3, 1, 2]] and found.missing == {"a": 1}


def test_who_has_no_score_anywhere_is_not_ranked():
    rows: list[dict[str, float | None]] = [{"a": 1.0, "b": 2.0, "c": None}] * 3
    found = rank(rows, NAMES, "lower")
    assert found is not None and found.frameworks == ["a", "b"]
    assert rank([{"a": 1.0}], NAMES, "lower") is None
