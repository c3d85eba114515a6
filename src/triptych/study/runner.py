"""A study in its directory: check it, prepare the data, compute the runs, score them, and summarise.

Every command that computes runs, on the command line and in Python, goes through `run_study` here, or `score_study` in
`rescoring.py`; what a person sees meanwhile is the business of an `Observer`. Each stage reads the files of the one
before and can be run again alone. What has been done is what the run directories say; nothing else remembers it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from triptych import report, store
from triptych.data import dataset
from triptych.directory import LOCK, RunDirectory, StudyDirectory
from triptych.errors import InputError
from triptych.evaluation import features
from triptych.evaluation.scoring import describe
from triptych.spec import RunSpec, StudySpec, to_toml
from triptych.spec.nested import flat_fields
from triptych.spec.seeds import up_to_look
from triptych.study import scatter
from triptych.study.costing import CostedPlan, DataFacts, costed
from triptych.study.executors import Event, Job
from triptych.study.extending import judged_at, reached
from triptych.study.observer import SILENT, Observer, Progress
from triptych.study.plan import Plan, all_runs, planned, runs_of
from triptych.text import condition_key
from triptych.verdicts import comparisons
from triptych.verdicts.wording import declared_names, primary


@dataclass(frozen=True)
class PreparedStudy(CostedPlan):
    """A study that has a directory and prepared data, too."""

    directory: StudyDirectory
    data: dataset.Dataset

    def of_seeds(self, seeds: Sequence[int]) -> PreparedStudy:
        """The study with the runs of these seeds only."""
        return replace(self, runs=[run for run in self.runs if run.seed in seeds])


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


def run_study(spec: StudySpec, folder: Path, observer: Observer = SILENT, until: int | None = None) -> Outcome:
    """Run a study in a directory, or resume it, and summarise it.

    A study with looks ends at the first at which all is decided, or at the look of `until` seeds. Each run is announced
    once; one that fails is tried again the next time.
    Raises InputError, and touches nothing, for what cannot be run, or not in this directory.
    """
    check(folder, spec)
    new = _missing(folder)
    with study_lock(folder):
        with observer.preparing() as progress, _removed_if_refused(new):
            study = prepare(folder, spec, progress, observer.note)
        observer.prepared(study)
        results: dict[str, str] = {}
        there = reached(spec, study.directory)
        for before, look in pairwise((0, *(look for look in judged_at(spec) if look >= there))):
            results |= compute(study.of_seeds(spec.seeds[before:look]), observer)
            outcome = conclude(study, results, look)
            settled = outcome.verdicts is None or is_settled(outcome.verdicts)
            if outcome.verdicts is None or (settled if until is None else look >= until):
                break
            if look < len(spec.seeds) and not settled:
                observer.note(f"Not all primary comparisons are decided by {look} seeds: more seeds are added.")
        return outcome


def is_settled(verdicts: list[dict[str, Any]]) -> bool:
    """Whether more seeds could change nothing that was asked: no primary comparison is undecided.

    Where no metric is primary, it is asked of all.
    """
    return not any(row["verdict"] == "undecided" for row in primary(verdicts))


def conclude(study: PreparedStudy, results: dict[str, str], look: int | None = None) -> Outcome:
    """Summarise a study whose runs have ended so, unless one was stopped; for who holds the study's lock."""
    verdicts = None if "stopped" in results.values() else _summarise(study.directory, look)
    return Outcome(directory=study.directory, results=results, verdicts=verdicts)


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Keep other processes out of a directory; raises InputError if another one is already at work in it."""
    with store.locked(folder, wait=False) as acquired:
        if not acquired:
            raise InputError("another process is at work in this directory", where=str(folder), hint="Wait for it.")
        yield


def load(folder: Path) -> tuple[StudySpec, list[RunSpec]]:
    """The study in a directory and its ordinary runs; InputError if there is none, or one of an older version."""
    spec = StudyDirectory(folder).load()
    return spec, runs_of(spec)


def check(folder: Path, study: StudySpec) -> None:
    """Raise InputError, and touch nothing, if the directory is another study's or something else's, if it holds the
    images that the study is to read, or if a symbolic link in it leads elsewhere.
    """
    directory = StudyDirectory(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file, not a directory", where=str(folder), hint="Choose another --out.")
    source = Path(study.data.path or "").resolve()
    if study.data.path and source.exists() and source.is_relative_to(folder.resolve()):
        raise InputError(
            "holds the images that this study reads, and results could take their place",
            where=str(folder),
            value=study.data.path,
            hint="Choose another --out.",
        )
    if not directory.study_toml.exists():
        if not directory.may_be_claimed():
            raise InputError(
                "contains files that do not belong to a study", where=str(folder), hint="Choose another --out."
            )
        store.refuse_links(folder)
        return
    store.refuse_links(folder)
    there = directory.load()
    differences = _differences(there, study)
    if set(there.vary) <= set(study.vary):  # further runs join those that are there
        differences.pop("vary", None)
    if differences:
        only_scoring = all(key.startswith("scoring.") for key in differences)
        raise InputError(
            f"holds another study, which differs in {', '.join(differences.values())}",
            where=str(folder),
            hint="`triptych score` changes how a study is scored; `triptych run` resumes what its study.toml says."
            if only_scoring
            else "Choose another --out, or delete this one.",
        )


def _differences(one: StudySpec, other: StudySpec) -> dict[str, str]:
    """The fields in which two studies differ, with both values in words; how they are executed is left out."""
    left, right = flat_fields(one.model_dump(mode="json")), flat_fields(other.model_dump(mode="json"))
    return {
        key: f"{key} ({left.get(key)!r} there, {right.get(key)!r} here)"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key) and not key.startswith("execution.")
    }


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
    with _removed_if_refused(_missing(folder)):
        plan = planned(study)
        check(folder, study)
        dataset.prepare(study.data, directory.data, progress, replace=not directory.study_toml.exists())
    prepared = with_data(plan, directory, note)
    write_study(prepared)
    return prepared


def with_data(plan: Plan, directory: StudyDirectory, note: Callable[[str], None]) -> PreparedStudy:
    """The plan with its prepared data opened, and the feature extractors made that it needs.

    Raises InputError for what only the data can tell: labels that are missing, a batch too large, an unknown score.
    """
    data = dataset.open(directory.data, resident_bytes=0)
    size = sum(file.stat().st_size for file in directory.data.iterdir())
    known = costed(plan, DataFacts(channels=data.channels, classes=data.classes, size=size))
    for run in plan.runs:
        dataset.batch_indices(run.seed, 0, len(data.train), run.training.batch_size)
    store.remove_partials(directory.features)
    describe(plan.spec.scoring, features.choose(plan.spec.scoring.features, data, directory.features, note))
    return PreparedStudy(
        spec=plan.spec,
        runs=plan.runs,
        execution=plan.execution,
        facts=known.facts,
        costs=known.costs,
        directory=directory,
        data=data,
    )


def write_study(study: PreparedStudy) -> None:
    """Write the study into its directory, which it claims so."""
    store.write(study.directory.study_toml, to_toml(study.spec).encode())


def _missing(folder: Path) -> list[Path]:
    """A study's directory and its folder of data, the inner one first, as far as they are still to be made."""
    return [path for path in (StudyDirectory(folder).data, folder) if not os.path.lexists(path)]


@contextmanager
def _removed_if_refused(new: list[Path]) -> Iterator[None]:
    """Remove these folders, made for a study that is refused, unless something is in them; a lock is nothing."""
    try:
        yield
    except InputError:
        for path in new:
            if path.is_dir() and {inside.name for inside in path.iterdir()} <= {LOCK}:
                shutil.rmtree(path)
        raise


def compute(study: PreparedStudy, observer: Observer = SILENT) -> dict[str, str]:
    """Bring every run that is not complete to its end; returns "finished", "stopped" or "failed" by run id.

    Runs that score the weights of others follow when these are trained.
    """
    results = _compute(study, [run for run in study.runs if not run.is_only_scored], observer)
    only_scored = [run for run in study.runs if run.is_only_scored]
    if not only_scored or "stopped" in results.values():
        return results
    return results | _compute(study, only_scored, observer)


def _compute(study: PreparedStudy, runs: list[RunSpec], observer: Observer) -> dict[str, str]:
    """The longest runs go first, so that no worker is left with one at the end while the others idle."""
    complete = {run.id: "finished" for run in runs if study.directory.run(run.id).is_complete()}
    waiting = sorted(runs, key=lambda run: study.costs[run.id].flops, reverse=True)
    jobs = [job_of(study, run) for run in waiting if run.id not in complete]
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


def job_of(study: PreparedStudy, run: RunSpec) -> Job:
    """What a worker needs to bring a run to its end; `weights` is the folder of the run whose weights it scores."""
    trained = study.directory.run(run.model_copy(update={"seeds": {}}).id)
    return {
        "id": run.id,
        "folder": str(study.directory.run(run.id).path),
        "spec": run.model_dump(mode="json"),
        "weights": str(trained.path) if run.is_only_scored else None,
        "data": str(study.directory.data),
        "fitted": str(study.directory.features),
        "scoring": study.spec.scoring.model_dump(mode="json"),
        "device": study.execution.device,
        "threads": study.execution.threads,
        "workers": study.execution.workers,
        "checkpoint_seconds": study.execution.checkpoint_seconds,
    }


def summarise(folder: Path, figures: bool = False) -> list[dict[str, Any]]:
    """Collect the scores of the complete runs, judge every comparison, and write the report, with `figures` as PDF too;
    returns the verdicts.

    Reads the directory alone. Raises InputError, and touches nothing, where no run is one of the study, where another
    process is at work in the directory, and where anything in it is a symbolic link.
    """
    store.refuse_links(folder)
    load(folder)
    with study_lock(folder):
        return _summarise(StudyDirectory(folder), figures=figures)


def _summarise(directory: StudyDirectory, look: int | None = None, figures: bool = False) -> list[dict[str, Any]]:
    """As `summarise`, for who holds the study's lock; with `look`, verdicts are made from so many first seeds."""
    store.refuse_links(directory.path)
    study = directory.load()
    every = all_runs(study)
    there = [run.id for run in directory.run_directories()]
    if there and set(there).isdisjoint(run.id for run in every):
        raise InputError(
            f"none of the {len(there)} runs is one of the study.toml next to them",
            where=str(directory.path),
            hint="Choose another --out, which leaves them as they are.",
        )
    directory.remove_partials()
    done = [(run, files) for run in every if (files := directory.run(run.id)).is_complete()]
    complete = [(run, files) for run, files in done if not run.seeds]
    scores = [line for _, files in complete for line in store.read_lines(files.scores_jsonl)]
    store.write(directory.scores_jsonl, store.to_lines(scores))
    data = dataset.open(directory.data, resident_bytes=0)
    described = describe(study.scoring, features.choose(study.scoring.features, data, directory.features))
    store.write(directory.metrics_json, store.to_json(described))
    outcomes = [(run, store.read_json(files.outcome_json)) for run, files in complete]
    diverged: dict[tuple[str, str], dict[int, str]] = {}
    for run, outcome in outcomes:
        if outcome["status"] == "diverged":
            diverged.setdefault((run.framework, condition_key(run.condition)), {})[run.seed] = "diverged"
    asked = comparisons.comparisons_for(study.frameworks, described, study.conditions())
    with declared_names({run.base_framework: outcome.get("name", "") for run, outcome in outcomes}):
        seen = [line for line in scores if line["seed"] in study.seeds[:look]]
        judged = comparisons.judge(seen, asked, failures=diverged, looks=study.looks, seeds=study.seeds)
        answers = [verdict.to_dict() for verdict in judged]
        shares = scatter.shares(study, described, [files for _, files in done]) if study.vary else None
    store.write(directory.verdicts_json, store.to_json(answers))
    if shares is not None:
        store.write(directory.variance_json, store.to_json(shares))
    report.write(directory.path, {run.id for run, _ in done}, figures)
    return answers


def status(folder: Path) -> list[dict[str, Any]]:
    """The state of every run: {"run", "state", "images", "of"}; of seeds up to the look that is reached. Reads only."""
    directory, study = StudyDirectory(folder), load(folder)[0]
    runs = all_runs(study)
    begun = {run.seed for run in runs if directory.run(run.id).path.exists()}
    seeds = up_to_look(study.seeds, study.looks, begun)
    return [run_status(directory.run(run.id), run) for run in runs if run.seed in seeds]


def run_status(files: RunDirectory, run: RunSpec) -> dict[str, Any]:
    """One row of `status`; its state is one of `RunDirectory.status`."""
    reader, state = store.Reader([]), files.status()
    images = reader.table(files.outcome_json).get("images") if state in ("finished", "diverged") else None
    if images is None:
        lines = reader.lines(files.log_jsonl)
        images = lines[-1].get("images", 0) if lines else 0
    return {"run": run.id, "images": images, "of": max(run.training.whole_images(), images), "state": state}
