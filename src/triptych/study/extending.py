"""More seeds for a study: up to a look that it planned, or else a second study, which says that the first was seen.

Adding seeds to a study until it says what one hopes for raises the rate of false verdicts: with looks at 3, 5, 8 and 12
seeds from 5 % to about 13 % (docs/results/verdicts.md). Verdicts from new seeds alone keep their level.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from triptych.directory import StudyDirectory
from triptych.errors import InputError
from triptych.spec import StudySpec
from triptych.study.plan import runs_of

LEAST = 2
"""Fewer new seeds give no verdict."""


@dataclass(frozen=True)
class Extension:
    """The study to run, in which directory, to which look (None: as it is), and what to say of it."""

    spec: StudySpec
    folder: Path
    until: int | None = None
    note: str = ""


def reached(study: StudySpec, directory: StudyDirectory) -> int:
    """The largest number of seeds at which it is to be judged and whose runs are all complete; 0 if there is none."""
    missing = {run.seed for run in runs_of(study) if not directory.run(run.id).is_complete()}
    return max((look for look in judged_at(study) if missing.isdisjoint(study.seeds[:look])), default=0)


def judged_at(study: StudySpec) -> tuple[int, ...]:
    """The numbers of seeds at which a study is judged: its looks, or all of its seeds."""
    return study.looks or (len(study.seeds),)


def extension(folder: Path, seeds: int, out: Path | None = None) -> Extension:
    """What to run so that there are so many seeds: the study itself up to a planned look, or a second study.

    A study without looks gets a second one, in `out` or next to it. Raises InputError for a number of seeds that was
    not planned or is there already, and for an `out` where the study goes on in its own directory.
    """
    directory = StudyDirectory(folder)
    study = directory.load()
    if not study.looks:
        second = extended(study, seeds)
        here = folder.resolve()
        home = out or here.with_name(f"{here.name}-extended")
        note = (
            f"{study.name} planned no further seeds, and its results have been seen. So it stays as it is, and a "
            f"second study with {len(second.seeds)} other seeds gives verdicts of its own: {home}"
        )
        return Extension(spec=second, folder=home, note=note)
    if out is not None:
        hint = "Leave --out away."
        raise InputError(
            "a study with planned looks goes on in its own directory", where="--out", value=str(out), hint=hint
        )
    there = reached(study, directory)
    to_come = [look for look in study.looks if look >= there]
    if seeds not in to_come:
        wrong = f"it has {there} seeds already" if seeds in study.looks else "this number of seeds was not planned"
        raise InputError(wrong, where="--seeds", value=seeds, hint=f"One of {', '.join(map(str, to_come))}.")
    return Extension(spec=study, folder=folder, until=seeds)


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
