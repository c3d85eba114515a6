"""Where the scatter of a study comes from: its runs by source of randomness, and the shares that their scores give."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triptych import store
from triptych.data import dataset
from triptych.directory import RunDirectory, StudyDirectory
from triptych.errors import InputError
from triptych.evaluation import features
from triptych.evaluation.scoring import describe
from triptych.plugins import suggest
from triptych.spec import RunSpec, StudySpec
from triptych.spec.seeds import SOURCES
from triptych.store import Row
from triptych.study.plan import all_runs, groups
from triptych.terminal import tables
from triptych.text import count, finite, listed
from triptych.verdicts.scales import scale_of
from triptych.verdicts.variance import Question, breakdown
from triptych.verdicts.wording import declared_names

if TYPE_CHECKING:
    from rich.console import Console


def scatter(directory: StudyDirectory) -> list[Row]:
    """The shares of variance in a study's directory, read from its complete runs; `shares` says of what form.

    Raises InputError where there is no study, or one that varies no source.
    """
    study = directory.load()
    if not study.vary:
        raise InputError(
            "this study varies no single source of randomness",
            where=str(directory.study_toml),
            hint=f'Add, for example, vary = ["initial", "order"] (of {", ".join(SOURCES)}) and run it again: the '
            "runs that are there stay.",
        )
    data = dataset.open(directory.data, resident_bytes=0)
    described = describe(study.scoring, features.choose(study.scoring.features, data, directory.features))
    done = [(run, files) for run in all_runs(study) if (files := directory.run(run.id)).is_complete()]
    names = {run.base_framework: store.read_json(files.outcome_json).get("name", "") for run, files in done}
    with declared_names(names):
        return shares(study, described, [files for _, files in done])


def show(console: Console, folder: Path, metrics: Sequence[str] | None, as_json: bool) -> None:
    """`triptych scatter`: a table and a sentence for each share asked for, or all records as JSON."""
    rows = chosen(scatter(StudyDirectory(folder)), metrics, primary=not as_json)
    if as_json:
        sys.stdout.write(store.to_json(rows).decode())
    else:
        tables.scatter(console, rows)


def chosen(rows: list[Row], metrics: Sequence[str] | None, primary: bool) -> list[Row]:
    """The records of these metrics; without names, those of the primary ones, or with `primary` False all.

    Raises InputError for a metric that was not computed.
    """
    names = [row["metric"] for row in rows]
    for name in metrics or ():
        if name not in names:
            hint = suggest(name, dict.fromkeys(names))
            raise InputError("no such metric has a scatter here", where="--metrics", value=name, hint=hint)
    if metrics is not None:
        return [row for row in rows if row["metric"] in metrics]
    return [row for row in rows if row["role"] == "primary" or not primary]


def shares(study: StudySpec, described: Sequence[Row], complete: Sequence[RunDirectory]) -> list[Row]:
    """A record of `triptych.verdicts.variance.Breakdown` for every condition, framework and metric but events.

    `described` are the rows of metrics.json, `complete` the complete runs, varied and ordinary ones. The records have
    the scores, too: `values`, by group of runs and then by seed, None where there is none.
    """
    by_run = {run.id: {row["metric"]: row for row in store.read_lines(run.scores_jsonl)} for run in complete}
    diverged = {run.id for run in complete if store.read_json(run.outcome_json)["status"] == "diverged"}
    rare = [m["metric"] for m in described if m["scale"] == "event" and m["better"] == "lower"]
    found: list[Row] = []
    for point in study.conditions():
        for framework in study.frameworks:
            runs = groups(study, framework, point)
            notes = _notes(runs, by_run, diverged, rare)
            for metric in described:
                if metric["scale"] == "event":
                    continue
                rows = {g: [by_run.get(run.id, {}).get(metric["metric"], {}) for run in runs[g]] for g in runs}
                question = Question(
                    metric=metric["metric"],
                    label=metric["label"] or metric["metric"],
                    role=metric["role"],
                    scale=scale_of(metric["scale"]),
                    framework=framework,
                    condition=point,
                    seeds=len(study.seeds),
                )
                values = {group: [finite(row.get("value")) for row in rows[group]] for group in rows}
                images = [int(n) for row in rows["all"] if (n := finite(row.get("n"))) is not None]
                reasons = {row["undefined"] for group in rows.values() for row in group if row.get("undefined")}
                why = "; ".join(sorted(reasons))
                record = breakdown(question, values, min(images, default=None), why).to_dict()
                found.append({**record, "notes": record["notes"] + notes, "values": values})
    return found


def _notes(
    runs: Mapping[str, Sequence[RunSpec]], by_run: Mapping[str, Mapping[str, Any]], diverged: set[str], rare: list[str]
) -> list[str]:
    """What a reader must know of the runs behind the shares of a framework: which are not there, which failed."""
    every = {run.id for group in runs.values() for run in group}
    failed = {
        run
        for run in every & by_run.keys()
        if run in diverged or any((by_run[run].get(name) or {}).get("value") for name in rare)
    }
    missing = len(every - by_run.keys())
    notes = [f"{missing} of {count(len(every), 'run')} not complete"] if missing else []
    if failed:
        ways = listed([*(["diverged"] if failed & diverged else []), *rare], "or")
        of = f"{len(failed)} of {count(len(every), 'run')}"
        notes.append(f"{of} failed ({ways}), and their scores count in the variances")
    return notes
