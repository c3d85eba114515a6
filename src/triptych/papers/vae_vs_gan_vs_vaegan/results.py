"""The runs of the reproduction's studies, read from their directories; nothing is computed here.

A directory of the reproduction holds a folder for each study: `matched`, `rates`, `as_published`, `attribution`. What
is not there yet is simply absent, and so are runs that are not whole: a run counts once its manifest is written. Run
directories that are not of the plan of the study.toml beside them, such as another version's, are no runs of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from triptych import store
from triptych.directory import TIMING_JSONL
from triptych.errors import InputError
from triptych.spec import StudySpec, load_study

STUDIES = ("matched", "rates", "as_published", "attribution")
Names = str | tuple[str, ...]
PAPER = {"data.size": 64, "network.width": 1.0, "training.images": 60_000}
"""What the specs of runs at the paper's own scale hold."""


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
        return store.read_lines(self.folder / "log.jsonl")

    @cached_property
    def timing(self) -> list[dict[str, Any]]:
        """The rows of timing.jsonl, in order of images."""
        return store.read_lines(self.folder / TIMING_JSONL)

    def field(self, dotted: str) -> Any:
        """What stands in the run's spec at a dotted field, such as "optimiser.rate"; None if it has none such."""
        return field_of(self.spec, dotted)


@dataclass(frozen=True, eq=False)
class Results:
    """All whole runs of the studies that are there."""

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
    """Whether a spec has all these values at these dotted fields."""
    return all(field_of(spec, dotted) == value for dotted, value in at.items())


def field_of(spec: Mapping[str, Any], dotted: str) -> Any:
    """What stands in nested tables at a dotted field; None if there is none such."""
    found: Any = spec
    for part in dotted.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def open_results(folder: Path) -> Results:
    """Read the studies below `folder`; raises InputError when there is none."""
    there = [name for name in STUDIES if (folder / name / "study.toml").exists()]
    if not there:
        raise InputError(
            "holds none of the reproduction's studies",
            where=str(folder),
            mend=f"It should hold one or more of {', '.join(STUDIES)}, each with a study.toml.",
        )
    results = Results(folder, (), {name: load_study(folder / name / "study.toml") for name in there})
    own = [(name, folder / name / "runs" / run) for name, runs in results.planned.items() for run in runs]
    whole = tuple(_read(name, path) for name, path in own if (path / store.MANIFEST).exists())
    read = replace(results, runs=whole)
    vars(read)["planned"] = results.planned  # what is cached takes no second planning
    return read


def _read(study: str, folder: Path) -> RunRecord:
    try:
        spec, outcome = store.read_json(folder / "spec.json"), store.read_json(folder / "outcome.json")
        scores = {row["metric"]: row for row in store.read_lines(folder / "scores.jsonl")}
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
            mend="Delete this run's directory, and the same command computes it anew.",
        ) from None
