"""Ranks of frameworks over several data sets, and which of them differ by more than chance.

On each data set frameworks are ranked by a metric, 1 for the best, ties by their mean. Source: Demšar, "Statistical
Comparisons of Classifiers over Multiple Data Sets" (JMLR 7, 2006): the Friedman test, and then Nemenyi's critical
difference of mean ranks, q sqrt(k (k + 1) / 6 N) for k frameworks on N data sets (section 3.2.2). As data sets are few,
the Friedman test is made by permutation of the ranks within data sets, which is exact where these can all be counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

RESAMPLES = 9_999


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of frameworks by one metric; `ranks` are [data sets][frameworks], 1 is best.

    `p` is that of the Friedman test, and two frameworks `differ` if it is below alpha and their mean ranks lie further
    apart than `critical_difference`, which is None for a single data set. `missing` counts by framework the data sets
    on which it has no score though it has one on another: there it ranks last.
    """

    frameworks: list[str]
    ranks: list[list[float]]
    mean_ranks: list[float]
    critical_difference: float | None
    p: float | None
    alpha: float
    missing: dict[str, int]

    @property
    def order(self) -> list[int]:
        """The places of the frameworks, the best mean rank first."""
        return sorted(range(len(self.frameworks)), key=lambda place: self.mean_ranks[place])

    def differ(self, one: int, other: int) -> bool:
        """Whether two frameworks, by their places, differ by more than chance."""
        if self.p is None or self.critical_difference is None or self.p >= self.alpha:
            return False
        return abs(self.mean_ranks[one] - self.mean_ranks[other]) > self.critical_difference

    @property
    def groups(self) -> list[list[int]]:
        """The largest runs of two and more frameworks, best first, of which the ends do not differ."""
        order, found = self.order, []
        for start in range(len(order)):
            end = max(e for e in range(start, len(order)) if not self.differ(order[start], order[e]))
            if end > start and not (found and found[-1][-1] == order[end]):
                found.append(order[start : end + 1])
        return found

    @property
    def decided(self) -> list[tuple[str, str]]:
        """The pairs that differ, the better one first."""
        return [(self.frameworks[a], self.frameworks[b]) for a, b in combinations(self.order, 2) if self.differ(a, b)]


def rank(
    scores: Sequence[Mapping[str, float | None]],
    frameworks: Sequence[str],
    better: Literal["lower", "higher"],
    alpha: float = 0.05,
) -> Ranking | None:
    """The ranking by the typical scores on each data set, by framework; None if fewer than two have any score."""
    scored = [f for f in frameworks if any(row.get(f) is not None for row in scores)]
    if len(scored) < 2:
        return None
    worst = math.inf if better == "lower" else -math.inf
    table = np.array([[worst if (x := row.get(f)) is None else x for f in scored] for row in scores])
    ranks = stats.rankdata(table if better == "lower" else -table, axis=1)
    n, k = ranks.shape
    q = float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2)
    return Ranking(
        frameworks=scored,
        ranks=ranks.tolist(),
        mean_ranks=ranks.mean(axis=0).tolist(),
        critical_difference=q * math.sqrt(k * (k + 1) / (6 * n)) if n > 1 else None,
        p=_friedman(ranks) if n > 1 else None,
        alpha=alpha,
        missing={f: m for f in scored if (m := sum(row.get(f) is None for row in scores))},
    )


def _friedman(ranks: np.ndarray) -> float:
    """The p of the Friedman test of [data sets, frameworks] ranks, by permutation within data sets."""

    def spread(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
        return sum(np.square(column.sum(axis=axis)) for column in columns)  # pyright: ignore[reportReturnType]

    columns = [ranks[:, place] for place in range(ranks.shape[1])]
    found = stats.permutation_test(
        columns,
        spread,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
