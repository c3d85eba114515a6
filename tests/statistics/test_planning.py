"""What a number of seeds can decide: the promised power is had, and the table of earlier scatter is sound."""

from __future__ import annotations

import math

import numpy as np
import pytest

from triptych.evaluation.scoring import planned_outputs
from triptych.spec import ScoringSpec
from triptych.verdicts import planning, sequential, stats

OUTPUTS = planned_outputs(ScoringSpec())
PRIMARY = [row for row in OUTPUTS if row["role"] == "primary" and row["better"] != "none"]


@pytest.mark.parametrize(("n", "alpha"), [(3, 0.05), (5, 0.05 / 3), (12, 0.05 / 6)])
def test_the_smallest_effect_is_found_in_four_studies_of_five(n: int, alpha: float):
    sd, studies = 2.0, 20_000
    smallest = planning.smallest_found(n, sd, alpha)
    draws = np.random.default_rng(n).normal(smallest, sd, (studies, n))
    zeros = np.zeros(n)
    found = np.mean([(stats.paired(x, zeros).p or 1.0) < alpha for x in draws])
    assert found == pytest.approx(planning.POWER, abs=5 * math.sqrt(0.16 / studies))


def test_more_seeds_can_decide_more_and_more_frameworks_less():
    for few, many in zip(planning.reaches(OUTPUTS, 3, 3), planning.reaches(OUTPUTS, 3, 8), strict=True):
        assert few.metric == many.metric and few.effect > many.effect
    for two, four in zip(planning.reaches(OUTPUTS, 2, 5), planning.reaches(OUTPUTS, 4, 5), strict=True):
        assert two.effect < four.effect


def test_one_seed_or_one_framework_decides_nothing():
    assert planning.reaches(OUTPUTS, 3, 1) == [] and planning.reaches(OUTPUTS, 1, 5) == []


def test_the_shipped_table_names_its_source_and_holds_the_primary_metrics():
    assert planning.scatter()["source"]
    assert {row["metric"] for row in PRIMARY if row["scale"] != "event"} <= planning.scatter()["sd"].keys()


@pytest.mark.parametrize("frameworks", [2, 3, 5])
def test_the_sign_flip_test_can_decide_from_that_many_seeds_and_not_from_one_less(frameworks: int):
    topics = [row["topic"]["name"] for row in PRIMARY]
    group = max(map(topics.count, topics)) * frameworks * (frameworks - 1) // 2
    n = planning.seeds_without_assumptions(OUTPUTS, frameworks)
    assert group * stats.sign_flip_p(np.arange(1.0, n + 1)) < 0.05 <= group * stats.sign_flip_p(np.arange(1.0, n))


def test_looks_ask_for_more_seeds_at_the_same_effect():
    looks = (3, 5, 8)
    for fixed, at_look in zip(planning.reaches(OUTPUTS, 3, 8), planning.reaches(OUTPUTS, 3, 8, looks), strict=True):
        assert fixed.metric == at_look.metric and fixed.effect < at_look.effect
    assert planning.seeds_without_assumptions(OUTPUTS, 3, 3) > planning.seeds_without_assumptions(OUTPUTS, 3)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6, 1e-5])
@pytest.mark.parametrize("looks", [(), (5,), (3, 5, 8), (3, 12)])
def test_the_nominal_level_is_the_largest_that_is_calibrated_to_alpha(alpha: float, looks: tuple[int, ...]):
    level = sequential.nominal(alpha, looks)
    assert sequential.calibrated(level, looks) <= alpha < sequential.calibrated(1.02 * level + 1e-9, looks)
    assert alpha / max(len(looks), 1) <= level <= alpha
