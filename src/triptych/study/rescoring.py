"""Scoring the trained runs of a study again: with more metrics, in more feature spaces, on another number of images.

The study's own scoring grows with it, so that its runs stay comparable. While runs are scored again they do not count
as complete, and `triptych run` scores those that a kill has left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from triptych import plugins, store
from triptych.data import dataset
from triptych.directory import StudyDirectory
from triptych.errors import InputError
from triptych.evaluation import features
from triptych.evaluation.scoring import metrics_of
from triptych.spec import ScoringSpec
from triptych.study import runner
from triptych.study.executors import Job
from triptych.study.observer import SILENT, Observer
from triptych.study.plan import Plan, all_runs, resolve_execution


def score_study(
    folder: Path, wanted: ScoringSpec, runs: Sequence[str] | None = None, observer: Observer = SILENT
) -> runner.Outcome:
    """Score the trained runs of a study again, all or those named, and summarise it; `rescore` says how.

    Raises InputError, and changes nothing, for what cannot be scored so, and where no run is trained.
    """
    runner.load(folder)
    with runner.study_lock(folder):
        study, jobs = rescore(folder, wanted, runs, observer.note)
        return runner.conclude(study, runner.execute(study, jobs, observer))


def rescore(
    folder: Path,
    wanted: ScoringSpec,
    runs: Sequence[str] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> tuple[runner.PreparedStudy, list[Job]]:
    """What it takes to score the trained runs again, all or those named; until then, they are not complete.

    The fields set in `wanted` change the study's scoring: its metrics and features join those that the study has, and
    then only these metrics, or those that look at features, are computed and all other scores stay; another number
    of images makes all scores again. Raises InputError, and changes nothing, for what cannot be scored so, where none
    of the runs is trained, and for another scoring of some runs only, which then could not be compared with the others.
    """
    store.refuse_links(folder)
    directory = StudyDirectory(folder)
    study, _ = runner.load(folder)
    planned = all_runs(study)
    scoring, only = extended(study.scoring, wanted, dataset.open(directory.data, resident_bytes=0))
    if runs is not None and scoring != study.scoring:
        hint = "Score the whole study."
        raise InputError("would score some of the study's runs in another way", where="scoring", hint=hint)
    trained = [run for run in planned if directory.run(run.id).outcome_json.exists()]
    chosen = [run for run in trained if runs is None or run.id in runs]
    if not chosen:
        raise InputError("holds no finished run to score", where=str(folder), hint="Run the study first.")
    plan = Plan(
        spec=study.model_copy(update={"scoring": scoring}),
        runs=planned,
        execution=resolve_execution(study.execution, len(runs or planned)),
    )
    prepared = runner.with_data(plan, directory, note)
    for run in chosen:  # before the study says so: no run may count as complete under a scoring that it never had
        directory.run(run.id).manifest_json.unlink(missing_ok=True)
        store.flush(directory.run(run.id).path)
    runner.write_study(prepared)
    return prepared, [{**runner.job_of(prepared, run), "only": only} for run in chosen]


def extended(scoring: ScoringSpec, wanted: ScoringSpec, data: dataset.Dataset) -> tuple[ScoringSpec, list[str] | None]:
    """A study's scoring with what is wanted added, and the metrics that it takes; None for all."""
    changes, metrics = wanted.model_dump(exclude_unset=True), wanted.metrics
    if wanted.features is not None:
        spaces = scoring.features or features.default_names(data)
        changes["features"] = (*spaces, *(name for name in wanted.features if name not in spaces))
    have = scoring.metrics if scoring.metrics is not None else tuple(plugins.names("metrics"))
    if metrics is not None:
        changes["metrics"] = (*have, *(name for name in metrics if name not in have))
        if scoring.metrics is None and changes["metrics"] == have:
            changes["metrics"] = None
    changed = scoring.model_copy(update=changes)
    chosen = metrics_of(changed)
    if set(changes) - {"metrics", "features"} or (metrics is None and wanted.features is None):
        return changed, None
    only = [
        metric.name
        for metric, name in zip(chosen, changed.metrics or have, strict=True)
        if (metrics is None or name in metrics) and (wanted.features is None or metric.per_feature_space)
    ]
    if not only:
        raise InputError(
            "none of these metrics is computed in further feature spaces",
            where="scoring.metrics",
            value=list(metrics or ()),
            hint=plugins.suggest("", [metric.name for metric in chosen if metric.per_feature_space]),
        )
    return changed, only
