"""More seeds for a study: up to a look that it planned, or else a second study, which says that the first was seen.

Adding seeds to a study until it says what one hopes for raises the rate of false verdicts: with looks at 3, 5, 8 and 12
seeds from 5 % to about 12 % (docs/results/verdicts.md). Verdicts from new seeds alone keep their level.
"""

from __future__ import annotations

from pathlib import Path

from triptych.directory import StudyDirectory
from triptych.errors import InputError
from triptych.spec import StudySpec

LEAST = 2
"""Fewer new seeds give no verdict."""


def continued(folder: Path, seeds: int) -> tuple[StudySpec, int | None, str]:
    """The study to run so that there are so many seeds, the look to run it to, and what to say of it.

    That is the study in the directory if it planned a look at this number; without any looks, it is a second one, and
    the look is None. Raises InputError for a number that was not planned.
    """
    study = StudyDirectory(folder).load()
    if not study.looks:
        second = extended(study, seeds)
        note = (
            f"{study.name} planned no further seeds, and its results have been seen. So it stays as it is, and a "
            f"second study with {len(second.seeds)} other seeds, {second.name}, gives verdicts of its own."
        )
        return second, None, note
    if seeds not in study.looks:
        hint = f"One of {', '.join(map(str, study.looks))}."
        raise InputError("this number of seeds was not planned", where="--seeds", value=seeds, hint=hint)
    return study, seeds, ""


def extended(study: StudySpec, seeds: int) -> StudySpec:
    """The second study, with the seeds that bring both together to this number; raises InputError for too few.

    It is there for verdicts, so it varies no single source of randomness.
    """
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
    others = tuple(range(first, first + more))
    return study.model_copy(update={"name": name, "seeds": others, "follows": study.name, "vary": ()})
