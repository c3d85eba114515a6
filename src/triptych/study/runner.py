"""A study in its directory: prepare the data, compute the runs, collect the scores, answer the questions.

Each stage reads the files of the one before and can be run again alone. What has been done is what the run
directories say; nothing else remembers it.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import plugins, report, store
from triptych.data import dataset
from triptych.data.prepare import COMMIT, FILES
from triptych.errors import InputError
from triptych.evaluation import features
from triptych.evaluation.scoring import describe, metrics_of
from triptych.spec import RunSpec, ScoringSpec, StudySpec, load_study, to_toml
from triptych.study.executors import local
from triptych.study.plan import Settled, check_labels, runs_of, settle, validate
from triptych.training.cost import Cost, costs
from triptych.verdicts import comparisons

Say = Callable[[str], None]

STUDY, DATA, FITTED, SCORES, METRICS, VERDICTS = (
    "study.toml",
    "data",
    "features",
    "scores.jsonl",
    "metrics.json",
    "verdicts.json",
)
BEFORE_CLAIM = (".lock", DATA, FITTED, STUDY + store.TEMPORARY)
"""What a command that failed before its first run may have left, and the next may use."""


@dataclass(frozen=True)
class Opened:
    """A study that has a directory, data and a settled execution."""

    folder: Path
    spec: StudySpec
    runs: list[RunSpec]
    settled: Settled
    data: dataset.Dataset
    costs: dict[str, Cost]

    def folder_of(self, run: RunSpec) -> Path:
        return self.folder / "runs" / run.id


def check_free(folder: Path, study: StudySpec) -> None:
    """Raise InputError, and touch nothing, if the directory is another study's or something else's."""
    file = folder / STUDY
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file and no directory", where=str(folder), mend="Choose another --out.")
    if not file.exists():
        if folder.exists() and any(path.name not in BEFORE_CLAIM for path in folder.iterdir()):
            raise InputError("holds something else than a study", where=str(folder), mend="Choose another --out.")
        return
    if differences := _differences(load_study(file), study):
        rescored = all(text.startswith("scoring.") for text in differences)
        raise InputError(
            f"holds another study, which differs in {', '.join(differences)}",
            where=str(folder),
            mend="`triptych score` changes how a study is scored; `triptych run` goes on with what its study.toml says."
            if rescored
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
    progress: Callable[[int, int], None] | None = None,
    say: Say = lambda text: None,
) -> Opened:
    """Everything before the runs: check all that can be checked, then prepare data and feature extractor once.

    `progress` is told the images prepared and in all, `say` what else takes time.
    The study is written into its directory last, so that a command that fails here can be mended and given again.
    """
    try:
        runs = runs_of(study)
        validate(runs)
        metrics_of(study.scoring)
        settled = settle(study.execution, len(runs))
        check_free(folder, study)
        if not (folder / STUDY).exists():
            _remove_other_data(folder / DATA, study)
        dataset.prepare(study.data, folder / DATA, progress)
    except InputError:
        _remove_if_empty(folder / DATA, folder)
        raise
    return _settled(folder, study, runs, settled, say)


def _settled(folder: Path, study: StudySpec, runs: list[RunSpec], settled: Settled, say: Say) -> Opened:
    """Open the data, check what only they can tell, and write the study into its directory."""
    data = dataset.open(folder / DATA, resident_bytes=0)
    check_labels(runs, data.classes)
    for run in runs:
        dataset.batch_indices(run.seed, 0, len(data.train), run.training.batch_size)
    store.sweep(folder / FITTED)
    describe(study.scoring, features.choose(study.scoring.features, data, folder / FITTED, say))
    store.write(folder / STUDY, to_toml(study).encode())
    return Opened(
        folder=folder, spec=study, runs=runs, settled=settled, data=data, costs=costs(runs, data.channels, data.classes)
    )


def _remove_other_data(folder: Path, study: StudySpec) -> None:
    """Remove what a command that came no further has prepared here, if this one asks for other data."""
    record = folder / COMMIT
    if record.exists() and store.read_json(record)["spec"] != study.data.model_dump(mode="json"):
        for name in (COMMIT, *FILES):
            (folder / name).unlink(missing_ok=True)


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        if folder.is_dir() and {path.name for path in folder.iterdir()} <= {".lock"}:
            shutil.rmtree(folder)


def compute(
    opened: Opened,
    on_event: Callable[[local.Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, str]:
    """Bring every run that is not whole to its end; returns "finished", "stopped" or "failed" by run id.

    The longest runs go first, so that no worker is left with one at the end while the others idle.
    """
    whole = {run.id: "finished" for run in opened.runs if store.is_whole(opened.folder_of(run))}
    waiting = sorted(opened.runs, key=lambda run: opened.costs[run.id].flops, reverse=True)
    jobs = [_job(opened, run) for run in waiting if run.id not in whole]
    for run_id in whole:
        on_event({"id": run_id, "event": "finished"})
    return whole | execute(opened, jobs, on_event, should_stop)


def rescore(
    folder: Path,
    wanted: ScoringSpec,
    runs: Sequence[str] | None = None,
    say: Say = lambda text: None,
) -> tuple[Opened, list[local.Job]]:
    """What it takes to score the runs that are trained anew, all or those named; until then, they are not whole.

    The fields set in `wanted` change the study's scoring: its metrics and features join those that the study has, and
    then only these metrics, or those that look at features, are computed and all other scores stay; another number
    of images makes all scores anew. Raises InputError, and touches nothing, for what cannot be scored so, and for
    another scoring of some runs only, which then could not be compared with the others.
    """
    study = load_study(folder / STUDY)
    scoring, only = _rescoring(study.scoring, wanted, dataset.open(folder / DATA, resident_bytes=0))
    if runs is not None and scoring != study.scoring:
        mend = "Score the whole study."
        raise InputError("would score some of the study's runs in another way", where="scoring", mend=mend)
    planned = runs_of(study)
    settled = settle(study.execution, len(runs or planned))
    opened = _settled(folder, study.model_copy(update={"scoring": scoring}), planned, settled, say)
    chosen = [
        run for run in planned if (opened.folder_of(run) / "outcome.json").exists() and (runs is None or run.id in runs)
    ]
    for run in chosen:  # so that, after a kill, no run passes for whole with the scores of before
        (opened.folder_of(run) / store.MANIFEST).unlink(missing_ok=True)
    return opened, [{**_job(opened, run), "only": only} for run in chosen]


def _rescoring(
    scoring: ScoringSpec, wanted: ScoringSpec, data: dataset.Dataset
) -> tuple[ScoringSpec, list[str] | None]:
    """The scoring with what is wanted added, and the metrics that it takes; None for all."""
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
    asked = metrics_of(changed)
    if set(changes) - {"metrics", "features"} or (metrics is None and wanted.features is None):
        return changed, None
    only = [
        metric.name
        for metric, name in zip(asked, changed.metrics or have, strict=True)
        if (metrics is None or name in metrics) and (wanted.features is None or metric.per_feature_space)
    ]
    if not only:
        raise InputError(
            "none of these metrics is computed in further feature spaces",
            where="scoring.metrics",
            value=list(metrics or ()),
            mend=plugins.suggest("", [metric.name for metric in asked if metric.per_feature_space]),
        )
    return changed, only


def execute(
    opened: Opened,
    jobs: list[local.Job],
    on_event: Callable[[local.Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, str]:
    """Do the jobs of a study; returns "finished", "stopped" or "failed" by run id."""

    def noted(event: local.Event) -> None:
        if event["event"] == "failed":
            _note_failure(opened.folder / "runs" / event["id"] / "error.txt", event["message"])
        on_event(event)

    return local.execute(jobs, opened.settled.workers, noted, should_stop)


def _note_failure(file: Path, message: str) -> None:
    """A worker that was killed could not say so itself."""
    if not file.exists():
        store.write(file, f"{message}\n".encode())


def _job(opened: Opened, run: RunSpec) -> local.Job:
    return {
        "id": run.id,
        "folder": str(opened.folder_of(run)),
        "spec": run.model_dump(mode="json"),
        "data": str(opened.folder / DATA),
        "fitted": str(opened.folder / FITTED),
        "scoring": opened.spec.scoring.model_dump(mode="json"),
        "device": opened.settled.device,
        "threads": opened.settled.threads,
        "workers": opened.settled.workers,
        "checkpoint_seconds": opened.settled.checkpoint_seconds,
    }


def conclude(folder: Path) -> list[dict[str, Any]]:
    """Collect the scores of the runs that are whole, answer every question, and write the report.

    Reads the directory alone. Returns the verdicts.
    """
    study = load_study(folder / STUDY)
    runs = runs_of(study)
    whole = [run for run in runs if store.is_whole(folder / "runs" / run.id)]
    there = {path.name for path in (folder / "runs").glob("*")}
    if there and there.isdisjoint(run.id for run in runs):
        mend = "They may be another version's; a new --out leaves them as they are."
        raise InputError(
            f"none of the {len(there)} runs is of the study.toml beside them", where=str(folder), mend=mend
        )
    scores = [line for run in whole for line in store.read_lines(folder / "runs" / run.id / "scores.jsonl")]
    store.write(folder / SCORES, store.to_lines(scores))
    data = dataset.open(folder / DATA, resident_bytes=0)
    described = describe(study.scoring, features.choose(study.scoring.features, data, folder / FITTED))
    store.write(folder / METRICS, store.to_json(described))
    diverged = Counter(
        (run.framework, run.condition)
        for run in whole
        if store.read_json(folder / "runs" / run.id / "outcome.json")["status"] == "diverged"
    )
    conditions = list(dict.fromkeys(run.condition for run in runs))
    asked = comparisons.comparisons_for(study.frameworks, described, conditions)
    answers = [verdict.to_dict() for verdict in comparisons.judge(scores, asked, diverged=diverged)]
    store.write(folder / VERDICTS, store.to_json(answers))
    report.write(folder)
    return answers


def status(folder: Path) -> list[dict[str, Any]]:
    """Where every run of a study stands: {"run", "state", "images", "of"}; reads only."""
    if not (folder / STUDY).exists():
        raise InputError(f"holds no study (no {STUDY})", where=str(folder))
    return [_stands(folder / "runs" / run.id, run) for run in runs_of(load_study(folder / STUDY))]


def _stands(folder: Path, run: RunSpec) -> dict[str, Any]:
    log = folder / "log.jsonl"
    # The last line may be half-written by a run under way.
    lines = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []
    images = json.loads(lines[-1])["images"] if lines else 0
    row = {
        "run": run.id,
        "images": images,
        "of": max(run.training.whole_images(), images),
    }
    if store.is_whole(folder):
        outcome = store.read_json(folder / "outcome.json")
        return {**row, "state": outcome["status"], "images": outcome["images"]}
    if (folder / "error.txt").exists():
        return {**row, "state": "failed"}
    if (folder / "outcome.json").exists():
        return {**row, "state": "trained"}
    return {**row, "state": "begun" if folder.exists() else "waiting"}
