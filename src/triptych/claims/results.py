"""The complete runs of one or more studies, read from their directories; nothing is computed here.

A directory is that of one study, or holds one folder per study. A run counts once it has been committed and its files
are as they were then. A run directory that is not in the plan of its study.toml, such as one of another version, does
not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triptych.claims import quantities
from triptych.directory import RunDirectory, RunRecord, StudyDirectory
from triptych.errors import InputError
from triptych.spec import StudySpec
from triptych.spec.nested import field_of
from triptych.spec.seeds import up_to_look

if TYPE_CHECKING:
    from triptych.evaluation.metrics import Output

Names = str | tuple[str, ...]
Plan = dict[str, dict[str, dict[str, Any]]]
"""The spec of every run that each study plans, by study and the run's id."""


@dataclass(frozen=True, eq=False)
class Results:
    """All complete runs of the studies, the studies by name, and all the runs that they plan."""

    runs: tuple[RunRecord, ...]
    studies: dict[str, StudySpec]
    planned: Plan

    @cached_property
    def outputs(self) -> dict[str, Output]:
        """The outputs of every metric there is, those of the studies' own included, by name."""
        return quantities.outputs(
            tuple(name for study in self.studies.values() for name in study.scoring.metrics or ())
        )

    @cached_property
    def selection(self) -> str:
        """The output by which settings are chosen."""
        return quantities.selection(self.outputs)

    def where(
        self, study: Names | None = None, framework: Names | None = None, at: Mapping[str, Any] | None = None
    ) -> list[RunRecord]:
        """The runs of these studies and frameworks whose specs hold what `at` says (dotted field to value), by seed."""
        found = [
            run
            for run in self.runs
            if among(run.study, study) and among(run.framework, framework) and holds(run.spec, at or {})
        ]
        return sorted(found, key=lambda run: run.seed)

    def planned_where(
        self, studies: Names, framework: Names, at: Mapping[str, Any]
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """Study, id and spec of the runs that are planned there, whether or not they are complete."""
        return [
            (study, name, spec)
            for study in as_tuple(studies)
            for name, spec in self.planned.get(study, {}).items()
            if among(spec["framework"], framework) and holds(spec, at)
        ]


def as_tuple(names: Names | None) -> tuple[str, ...]:
    """One name or several as several."""
    return (names,) if isinstance(names, str) else names or ()


def among(name: str, names: Names | None) -> bool:
    """Whether a name is the one or one of those asked for; None asks for any."""
    return names is None or name in as_tuple(names)


def holds(spec: Mapping[str, Any], at: Mapping[str, Any]) -> bool:
    """Whether a spec has these values at these dotted fields; a list stands for any of its values.

    Where the field itself holds a list, such as the order of updates, the list is the value.
    """
    return all(_matches(field_of(spec, dotted), value) for dotted, value in at.items())


def _matches(found: Any, wanted: Any) -> bool:
    listed = isinstance(wanted, list | tuple) and not isinstance(found, list | tuple)
    return found in wanted if listed else found == wanted


def open_results(folder: Path, names: Sequence[str] = ()) -> Results:
    """Read one study, or the studies in the folders below, in the order of `names` if given; else by folder name.

    A single study goes by its own name, others by that of their folders. Raises InputError when there is no study.
    """
    from triptych.study.plan import runs_of

    if StudyDirectory(folder).study_toml.exists():
        found = {StudyDirectory(folder).load().name: StudyDirectory(folder)}
    else:
        below = names or sorted(path.name for path in folder.glob("*/"))
        directories = {name: StudyDirectory(folder / name) for name in below}
        found = {name: directory for name, directory in directories.items() if directory.study_toml.exists()}
    if not found:
        place = f"It should hold one or more of {', '.join(names)}" if names else "Name a study, or a folder of studies"
        raise InputError("holds no study", where=str(folder), hint=f"{place}, each with a study.toml.")
    studies = {name: directory.load() for name, directory in found.items()}
    runs = {name: [(run, found[name].run(run.id)) for run in runs_of(study)] for name, study in studies.items()}
    complete = {name: [(run, files) for run, files in own if files.is_complete()] for name, own in runs.items()}
    planned: Plan = {}
    for name, study in studies.items():  # seeds of looks that were not needed are not missing
        seeds = up_to_look(study.seeds, study.looks, {run.seed for run, _ in complete[name]})
        planned[name] = {run.id: run.model_dump(mode="json") for run, _ in runs[name] if run.seed in seeds}
    return Results(tuple(_read(name, files) for name, own in complete.items() for _, files in own), studies, planned)


def _read(study: str, run: RunDirectory) -> RunRecord:
    try:
        record = replace(run.read(complete=True), study=study)
        _ = record.log, record.timing, record.scores  # read now, so that what is wrong with them is reported at once
    except InputError as error:
        hint = "Delete this run's directory, and the same command computes it again."
        raise InputError(f"a run that cannot be read ({error.what})", where=error.where, hint=hint) from None
    return record
