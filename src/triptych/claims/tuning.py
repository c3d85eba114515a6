"""The choice of a setting, such as a learning rate, by the mean score of seeds, with no seed choosing for itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from triptych.claims import quantities
from triptych.claims.quantities import Quantity
from triptych.claims.spec import SETTING
from triptych.directory import RunRecord

Setting = TypeVar("Setting")


def cross_fitted(runs: Sequence[RunRecord], metric: str, better: str = "lower") -> list[RunRecord]:
    """For each seed its run of the setting that the other seeds choose by this metric, if there are others."""
    table: dict[tuple[Any, ...], dict[int, RunRecord]] = defaultdict(dict)
    for run in runs:
        table[tuple(run.setting(name) for name in SETTING)][run.seed] = run
    seeds = sorted({run.seed for run in runs})
    chosen = []
    for seed in seeds:
        others = [other for other in seeds if other != seed]
        best = best_setting({setting: mean_score(own, others, metric) for setting, own in table.items()}, better)
        if best is not None and seed in table[best]:
            chosen.append(table[best][seed])
    return chosen


def best_setting(means: Mapping[Setting, float | None], better: str) -> Setting | None:
    """The setting with the best mean score, lower or higher as said; None where none has one."""
    known = {setting: mean for setting, mean in means.items() if mean is not None}
    return (max if better == "higher" else min)(known, key=known.__getitem__, default=None)


def mean_score(own: Mapping[int, RunRecord], seeds: Sequence[int], metric: str) -> float | None:
    """A setting's mean score over these seeds; None if one has none, or there are no seeds."""
    scores = [quantities.value(Quantity(metric=metric), own[seed]).value for seed in seeds if seed in own]
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if seeds and len(known) == len(seeds) else None
