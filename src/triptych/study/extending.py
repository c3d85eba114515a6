"""More seeds for a study that planned none: a second study with other seeds, which says that the first was seen.

Adding seeds to a study until it says what one hopes for raises the rate of false verdicts: with looks at 3, 5, 8 and 12
seeds from 5 % to about 12 % (docs/results/verdicts.md). Verdicts from new seeds alone keep their level.
"""

from __future__ import annotations

from triptych.errors import InputError
from triptych.spec import StudySpec

LEAST = 2
"""Fewer new seeds give no verdict."""


def extended(study: StudySpec, seeds: int) -> StudySpec:
    """The second study, with the seeds that bring both together to this number; raises InputError for too few."""
    more = seeds - len(study.seeds)
    if more < LEAST:
        raise InputError(
            f"the study has {len(study.seeds)} seeds, and a second one needs at least {LEAST} others",
            where="seeds",
            value=seeds,
            hint=f"Give {len(study.seeds) + LEAST} or more.",
        )
    first = max(study.seeds) + 1
    name = f"{study.name}-extended"
    return study.model_copy(update={"name": name, "seeds": tuple(range(first, first + more)), "follows": study.name})
