"""A study in its directory: check it, prepare the data, compute the runs, score them, and summarise.

Every command that computes runs, on the command line and in Python, goes through `run_study` or `score_study`; what a
person sees meanwhile is the business of an `Observer`. Each stage reads the files of the one before and can be run
again alone. What has been done is what the run directories say; nothing else remembers it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import report, store
from triptych.data import dataset
from triptych.data.prepare import FILES
from triptych.directory import LOCK, Reader, RunDirectory, StudyDirectory
from triptych.errors import InputError
from triptych.evaluation import features
from triptych.evaluation.scoring import describe, metrics_of
from triptych.spec import RunSpec, ScoringSpec, StudySpec, to_toml
from triptych.study.executors import Event, Job
from triptych.study.observer import SILENT, Observer, Progress
from triptych.study.plan import (
    Estimate,
    ResolvedExecution,
    check_labels,
    estimate,
    resolve_execution,
    runs_of,
    validate,
)
from triptych.study.rescoring import rescoring
from triptych.text import condition_key
from triptych.training.cost import Cost, costs
from triptych.verdicts import comparisons
from triptych.verdicts.wording import declared_names


@dataclass(frozen=True)
class PreparedStudy:
    """A study that has a directory, data, and a resolved execution."""

    directory: StudyDirectory
    spec: StudySpec
    runs: list[RunSpec]
    execution: ResolvedExecution
    data: dataset.Dataset
    costs: dict[str, Cost]

    def estimate(self) -> Estimate:
        """What all its runs will take."""
        size = sum(file.stat().st_size for file in self.directory.data.iterdir())
        return estimate(
            self.runs,
            self.costs,
            self.data.channels,
            self.data.classes,
            self.execution,
            size,
            self.spec.scoring.images,
        )


@dataclass(frozen=True)
class Outcome:
    """How computing the runs of a study ended: "finished", "stopped" or "failed" by run id, and the verdicts.

    `verdicts` is None when it was stopped: then nothing has been summarised.
    """

    directory: StudyDirectory
    results: dict[str, str]
    verdicts: list[dict[str, Any]] | None

    @property
    def is_stopped(self) -> bool:
        return self.verdicts is None

    @property
    def failed(self) -> list[RunDirectory]:
        """The runs that failed."""
        return [self.directory.run(name) for name, result in self.results.items() if result == "failed"]


def run_study(spec: StudySpec, folder: Path, observer: Observer = SILENT) -> Outcome:
    """Run a study in a directory, or resume it, and summarise it.

    Raises InputError, and touches nothing, for what cannot be run, or not in this directory.
    """
    check(folder, spec)
    with study_lock(folder):
        with observer.preparing() as progress:
            study = prepare(folder, spec, progress, observer.note)
        observer.prepared(study)
        return _end(study, compute(study, observer))


def score_study(
    folder: Path, wanted: ScoringSpec, runs: Sequence[str] | None = None, observer: Observer = SILENT
) -> Outcome:
    """Score the trained runs of a study again, all or those named, and summarise it; `rescore` says how.

    Raises InputError, and touches nothing, for what cannot be scored so, and where no run is trained.
    """
    load(folder)
    with study_lock(folder):
        study, jobs = rescore(folder, wanted, runs, observer.note)
        if not jobs:
            raise InputError("holds no finished run to score", where=str(folder), hint="Run the study first.")
        return _end(study, execute(study, jobs, observer))


def _end(study: PreparedStudy, results: dict[str, str]) -> Outcome:
    verdicts = None if "stopped" in results.values() else summarise(study.directory.path)
    return Outcome(directory=study.directory, results=results, verdicts=verdicts)


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Keep other processes out of a directory; raises InputError if another one is already at work in it."""
    with store.locked(folder, wait=False) as acquired:
        if not acquired:
            raise InputError("another process is at work in this directory", where=str(folder), hint="Wait for it.")
        yield


def load(folder: Path) -> tuple[StudySpec, list[RunSpec]]:
    """The study in a directory and its runs; raises InputError if there is none, or one of an older version."""
    spec = StudyDirectory(folder).load()
    return spec, runs_of(spec)


def check(folder: Path, study: StudySpec) -> None:
    """Raise InputError, and touch nothing, if the directory is another study's or something else's, or if a symbolic
    link in it leads elsewhere.
    """
    directory = StudyDirectory(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file, not a directory", where=str(folder), hint="Choose another --out.")
    if not directory.study_toml.exists():
        if folder.exists() and any(path.name not in directory.before_claim() for path in folder.iterdir()):
            raise InputError(
                "contains files that do not belong to a study", where=str(folder), hint="Choose another --out."
            )
        store.refuse_links(folder)
        return
    store.refuse_links(folder)
    if differences := _differences(directory.load(), study):
        only_scoring = all(text.startswith("scoring.") for text in differences)
        raise InputError(
            f"holds another study, which differs in {', '.join(differences)}",
            where=str(folder),
            hint="`triptych score` changes how a study is scored; `triptych run` resumes what its study.toml says."
            if only_scoring
            else "Choose another --out, or delete this one.",
        )


def _differences(one: StudySpec, other: StudySpec) -> list[str]:
    """The fields in which two studies differ, how they are executed left out."""
    left, right = _flat(one.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
    return [
        f"{key} ({left.get(key)!r} there, {right.get(key)!r} here)"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key) and not key.startswith("execution.")
    ]


def _flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


def prepare(
    folder: Path,
    study: StudySpec,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> PreparedStudy:
    """Everything before the runs: check all that can be checked, then prepare data and feature extractor once.

    `note` is called with what else takes time. The study is written into its directory last, so that a command that
    fails here can be corrected and given again.
    """
    directory = StudyDirectory(folder)
    try:
        runs = runs_of(study)
        validate(runs)
        metrics_of(study.scoring)
        execution = resolve_execution(study.execution, len(runs))
        check(folder, study)
        if not directory.study_toml.exists():
            _remove_other_data(directory, study)
        dataset.prepare(study.data, directory.data, progress)
    except InputError:
        _remove_if_empty(directory.data, folder)
        raise
    return _claim(directory, study, runs, execution, note)


def _claim(
    directory: StudyDirectory,
    study: StudySpec,
    runs: list[RunSpec],
    execution: ResolvedExecution,
    note: Callable[[str], None],
) -> PreparedStudy:
    """Open the data, check what only they can tell, and write the study into its directory."""
    data = dataset.open(directory.data, resident_bytes=0)
    check_labels(runs, data.classes)
    for run in runs:
        dataset.batch_indices(run.seed, 0, len(data.train), run.training.batch_size)
    store.remove_partials(directory.features)
    describe(study.scoring, features.choose(study.scoring.features, data, directory.features, note))
    store.write(directory.study_toml, to_toml(study).encode())
    return PreparedStudy(
        directory=directory,
        spec=study,
        runs=runs,
        execution=execution,
        data=data,
        costs=costs(runs, data.channels, data.classes),
    )


def _remove_other_data(directory: StudyDirectory, study: StudySpec) -> None:
    """Remove what a command that came no further has prepared here, if this one needs other data."""
    record = directory.data_json
    if record.exists() and store.read_json(record)["spec"] != study.data.model_dump(mode="json"):
        for path in (record, *(directory.data / name for name in FILES)):
            path.unlink(missing_ok=True)


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        # A directory that the user reaches through a link stays; its link is not ours to remove.
        if folder.is_dir() and not folder.is_symlink() and {path.name for path in folder.iterdir()} <= {LOCK}:
            shutil.rmtree(folder)


def compute(study: PreparedStudy, observer: Observer = SILENT) -> dict[str, str]:
    """Bring every run that is not complete to its end; returns "finished", "stopped" or "failed" by run id.

    The longest runs go first, so that no worker is left with one at the end while the others idle.
    """
    complete = {run.id: "finished" for run in study.runs if study.directory.run(run.id).is_complete()}
    waiting = sorted(study.runs, key=lambda run: study.costs[run.id].flops, reverse=True)
    jobs = [_job(study, run) for run in waiting if run.id not in complete]
    return complete | execute(study, jobs, observer, list(complete))


def execute(
    study: PreparedStudy, jobs: list[Job], observer: Observer = SILENT, complete: Sequence[str] = ()
) -> dict[str, str]:
    """Do the jobs of a study; returns "finished", "stopped" or "failed" by run id.

    The observer hears of the runs that are complete already, too.
    """
    chosen = {name: study.costs[name] for name in (*complete, *(job["id"] for job in jobs))}
    with observer.computing(chosen) as (on_event, should_stop):
        for name in complete:
            on_event({"id": name, "event": "finished"})

        def recorded(event: Event) -> None:
            if event["event"] == "failed":
                _record_failure(study.directory.run(event["id"]), event["message"])
            on_event(event)

        return study.execution.executor.execute(jobs, study.execution.workers, recorded, should_stop)


def _record_failure(run: RunDirectory, message: str) -> None:
    """A worker that was killed could not do so itself."""
    store.refuse_link(run.path.parent, run.path)
    if not run.error_txt.exists():
        store.write(run.error_txt, f"{message}\n".encode())


def _job(study: PreparedStudy, run: RunSpec) -> Job:
    return {
        "id": run.id,
        "folder": str(study.directory.run(run.id).path),
        "spec": run.model_dump(mode="json"),
        "data": str(study.directory.data),
        "fitted": str(study.directory.features),
        "scoring": study.spec.scoring.model_dump(mode="json"),
        "device": study.execution.device,
        "threads": study.execution.threads,
        "workers": study.execution.workers,
        "checkpoint_seconds": study.execution.checkpoint_seconds,
    }


def rescore(
    folder: Path,
    wanted: ScoringSpec,
    runs: Sequence[str] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> tuple[PreparedStudy, list[Job]]:
    """What it takes to score the trained runs again, all or those named; until then, they are not complete.

    The fields set in `wanted` change the study's scoring: its metrics and features join those that the study has, and
    then only these metrics, or those that look at features, are computed and all other scores stay; another number
    of images makes all scores again. Raises InputError, and touches nothing, for what cannot be scored so, and for
    another scoring of some runs only, which then could not be compared with the others.
    """
    store.refuse_links(folder)
    directory = StudyDirectory(folder)
    study, planned = load(folder)
    scoring, only = rescoring(study.scoring, wanted, dataset.open(directory.data, resident_bytes=0))
    if runs is not None and scoring != study.scoring:
        hint = "Score the whole study."
        raise InputError("would score some of the study's runs in another way", where="scoring", hint=hint)
    execution = resolve_execution(study.execution, len(runs or planned))
    prepared = _claim(directory, study.model_copy(update={"scoring": scoring}), planned, execution, note)
    chosen = [
        run for run in planned if directory.run(run.id).outcome_json.exists() and (runs is None or run.id in runs)
    ]
    for run in chosen:  # so that, after a kill, no run counts as complete with its earlier scores
        directory.run(run.id).manifest_json.unlink(missing_ok=True)
    return prepared, [{**_job(prepared, run), "only": only} for run in chosen]


def summarise(folder: Path) -> list[dict[str, Any]]:
    """Collect the scores of the complete runs, judge every comparison, and write the report; returns the verdicts.

    Reads the directory alone. Raises InputError, and touches nothing, where no run is one of the study, and where
    anything in the directory is a symbolic link.
    """
    store.refuse_links(folder)
    directory = StudyDirectory(folder)
    study, runs = load(folder)
    there = [run.id for run in directory.run_directories()]
    if there and set(there).isdisjoint(run.id for run in runs):
        raise InputError(
            f"none of the {len(there)} runs is one of the study.toml next to them",
            where=str(folder),
            hint="Choose another --out, which leaves them as they are.",
        )
    complete = [(run, files) for run in runs if (files := directory.run(run.id)).is_complete()]
    scores = [line for _, files in complete for line in store.read_lines(files.scores_jsonl)]
    store.write(directory.scores_jsonl, store.to_lines(scores))
    data = dataset.open(directory.data, resident_bytes=0)
    described = describe(study.scoring, features.choose(study.scoring.features, data, directory.features))
    store.write(directory.metrics_json, store.to_json(described))
    outcomes = [(run, store.read_json(files.outcome_json)) for run, files in complete]
    diverged = Counter(
        (run.framework, condition_key(run.condition)) for run, outcome in outcomes if outcome["status"] == "diverged"
    )
    asked = comparisons.comparisons_for(study.frameworks, described, study.conditions())
    with declared_names({run.base_framework: outcome.get("name", "") for run, outcome in outcomes}):
        answers = [verdict.to_dict() for verdict in comparisons.judge(scores, asked, diverged=diverged)]
    store.write(directory.verdicts_json, store.to_json(answers))
    report.write(folder)
    return answers


def status(folder: Path) -> list[dict[str, Any]]:
    """Where every run of a study stands: {"run", "state", "images", "of"}; reads only."""
    directory = StudyDirectory(folder)
    return [run_status(directory.run(run.id), run) for run in load(folder)[1]]


def run_status(files: RunDirectory, run: RunSpec) -> dict[str, Any]:
    """One row of `status`; its state is one of `RunDirectory.status`."""
    lines = Reader([]).lines(files.log_jsonl)
    state = files.status()
    done = store.read_json(files.outcome_json)["images"] if state in ("finished", "diverged") else None
    images = done if done is not None else lines[-1].get("images", 0) if lines else 0
    return {"run": run.id, "images": images, "of": max(run.training.whole_images(), images), "state": state}
