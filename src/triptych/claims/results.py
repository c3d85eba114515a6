"""The complete runs of one or more studies, read from their directories; nothing is computed here.

A directory is that of one study, or holds one folder per study. A run counts once its manifest is written. A run
directory that is not in the plan of its study.toml, such as one of another version, does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from triptych import store
from triptych.directory import RunDirectory, StudyDirectory
from triptych.errors import InputError
from triptych.spec import StudySpec

Names = str | tuple[str, ...]


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One finished or diverged run; `scores` are its rows of scores.jsonl by metric."""

    study: str
    id: str
    framework: str
    seed: int
    status: str
    spec: dict[str, Any]
    outcome: dict[str, Any]
    scores: dict[str, dict[str, Any]]
    folder: Path

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """The rows of log.jsonl, in order of images."""
        return store.read_lines(RunDirectory(self.folder).log_jsonl)

    @cached_property
    def timing(self) -> list[dict[str, Any]]:
        """The rows of timing.jsonl, in order of images."""
        return store.read_lines(RunDirectory(self.folder).timing_jsonl)

    def field(self, dotted: str) -> Any:
        """The value of a dotted field of the run's spec, such as "optimiser.rate"; None if it has no such field."""
        return field_of(self.spec, dotted)


@dataclass(frozen=True, eq=False)
class Results:
    """All complete runs of the studies, by the studies' names."""

    folder: Path
    runs: tuple[RunRecord, ...]
    studies: dict[str, StudySpec]

    @cached_property
    def planned(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The spec of every run that each study plans, by study and the run's id; InputError for an invalid study."""
        from triptych.study.plan import runs_of

        return {
            name: {run.id: run.model_dump(mode="json") for run in runs_of(study)}
            for name, study in self.studies.items()
        }

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


def among(name: str, names: Names | None) -> bool:
    """Whether a name is the one or one of those asked for; None asks for any."""
    return names is None or name in ((names,) if isinstance(names, str) else names)


def holds(spec: Mapping[str, Any], at: Mapping[str, Any]) -> bool:
    """Whether a spec has these values at these dotted fields; a list stands for any of its values.

    Where the field itself holds a list, such as the order of updates, the list is the value.
    """
    return all(_matches(field_of(spec, dotted), value) for dotted, value in at.items())


def _matches(found: Any, wanted: Any) -> bool:
    listed = isinstance(wanted, list | tuple) and not isinstance(found, list | tuple)
    return found in wanted if listed else found == wanted


def field_of(spec: Mapping[str, Any], dotted: str) -> Any:
    """The value at a dotted field of nested tables; None if there is no such field."""
    found: Any = spec
    for part in dotted.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def open_results(folder: Path, names: Sequence[str] = ()) -> Results:
    """Read one study, or the studies in the folders below, in the order of `names` if given; else by folder name.

    A single study goes by its own name, others by that of their folders. Raises InputError when there is no study.
    """
    if StudyDirectory(folder).study_toml.exists():
        found = {StudyDirectory(folder).load().name: StudyDirectory(folder)}
    else:
        below = names or sorted(path.name for path in folder.glob("*/"))
        directories = {name: StudyDirectory(folder / name) for name in below}
        found = {name: directory for name, directory in directories.items() if directory.study_toml.exists()}
    if not found:
        place = f"It should hold one or more of {', '.join(names)}" if names else "Name a study, or a folder of studies"
        raise InputError("holds no study", where=str(folder), hint=f"{place}, each with a study.toml.")
    results = Results(folder, (), {name: directory.load() for name, directory in found.items()})
    planned = [(name, found[name].run(run)) for name, runs in results.planned.items() for run in runs]
    complete = tuple(_read(name, run) for name, run in planned if run.manifest_json.exists())
    read = replace(results, runs=complete)
    vars(read)["planned"] = results.planned  # planning takes a while and is done once
    return read


def _read(study: str, run: RunDirectory) -> RunRecord:
    folder = run.path
    try:
        spec, outcome = store.read_json(run.spec_json), store.read_json(run.outcome_json)
        scores = {row["metric"]: row for row in store.read_lines(run.scores_jsonl)}
        return RunRecord(
            study=study,
            id=folder.name,
            framework=spec["framework"],
            seed=spec["seed"],
            status=outcome["status"],
            spec=spec,
            outcome=outcome,
            scores=scores,
            folder=folder,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"a run that cannot be read ({type(error).__name__}: {error})",
            where=str(folder),
            hint="Delete this run's directory, and the same command computes it again.",
        ) from None
