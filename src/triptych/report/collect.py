"""The files of a study, read into one plain structure; whatever is missing or torn is noted, never fatal.

A report may be asked for while runs are still going, so any file may be absent, and the last line of a
`.jsonl` half written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from triptych.directory import RunRecord, StudyDirectory
from triptych.errors import InputError
from triptych.spec.seeds import up_to_look
from triptych.store import Reader, Row
from triptych.text import condition as text_of
from triptych.text import condition_key


@dataclass(frozen=True)
class Study:
    """All that the report shows, before it is made into words, tables and figures.

    `points` are the points of the study's grid by their text (`triptych.text.condition`); the texts, in the grid's
    order, are the `conditions` by which everything else is asked for. A point is the same in whatever order a file
    names its fields.
    """

    toml: str
    config: Row
    runs: list[RunRecord]
    scores: list[Row]
    metrics: list[Row]
    verdicts: list[Row]
    data: Row
    extractor: Row
    frameworks: list[str]
    seeds: list[int]
    points: dict[str, Row]
    problems: list[str]
    scatter: list[Row] = field(default_factory=list)

    @property
    def names(self) -> dict[str, str]:
        """What each framework calls itself, where its runs have recorded that."""
        return {run.framework.partition("@")[0]: str(run.outcome.get("name") or "") for run in self.runs}

    @property
    def conditions(self) -> list[str]:
        return list(self.points)

    def of(self, condition: str, framework: str | None = None) -> list[RunRecord]:
        """The runs that left a directory, of one condition and, if named, one framework, by seed."""
        return [run for run in self._runs_at.get(condition, []) if framework in (None, run.framework)]

    def scores_of(self, condition: str) -> dict[tuple[str, str], list[Row]]:
        """(metric, framework) to its lines of scores.jsonl under one condition, by seed."""
        return self._scores_at.get(condition, {})

    def verdicts_of(self, metric: str | None, condition: str) -> list[Row]:
        """The verdicts on one metric, or on all (None), under one condition."""
        return self._verdicts_at.get(condition, {}).get(metric, [])

    def scatter_of(self, condition: str) -> list[Row]:
        """The records of variance.json under one condition; none for a study that varies no source of randomness."""
        return self._by_condition(self.scatter, _point).get(condition, [])

    @cached_property
    def _runs_at(self) -> dict[str, list[RunRecord]]:
        return self._by_condition([run for run in self.runs if run.status != "missing"], lambda run: run.condition)

    @cached_property
    def _scores_at(self) -> dict[str, dict[tuple[str, str], list[Row]]]:
        found: dict[str, dict[tuple[str, str], list[Row]]] = {}
        for condition, rows in self._by_condition(self.scores, _point).items():
            for row in sorted(rows, key=lambda row: row.get("seed", 0)):
                found.setdefault(condition, {}).setdefault((row["metric"], row["framework"]), []).append(row)
        return found

    @cached_property
    def _verdicts_at(self) -> dict[str, dict[str | None, list[Row]]]:
        found: dict[str, dict[str | None, list[Row]]] = {}
        for condition, rows in self._by_condition(self.verdicts, _point).items():
            found[condition] = {None: rows}
            for row in rows:
                found[condition].setdefault(row["metric"], []).append(row)
        return found

    def _by_condition(self, items: list[Any], point_of: Callable[[Any], Row]) -> dict[str, list[Any]]:
        """What is at a point of the grid, by the point's text, in the given order."""
        texts = {condition_key(point): text for text, point in self.points.items()}
        found: dict[str, list[Any]] = {}
        for item in items:
            if (key := condition_key(point_of(item))) in texts:
                found.setdefault(texts[key], []).append(item)
        return found


def collect(study_dir: Path, complete: Set[str] = frozenset()) -> Study:
    """Read a study's directory; raises InputError when it is none (no study.toml and no runs).

    `complete` are the ids of runs that are known to be complete; the files of all others are checked here.
    """
    directory, problems = StudyDirectory(study_dir), []
    reader = Reader(problems)
    toml = reader.text(directory.study_toml)
    if not toml and not directory.runs.is_dir():
        raise InputError("not the directory of a study", where=str(study_dir), hint="It holds no study.toml.")
    config = reader.toml(directory.study_toml)
    scores = reader.lines(directory.scores_jsonl, {"framework", "metric"})
    verdicts = reader.tables(directory.verdicts_json, {"metric", "a", "b", "verdict"})
    metrics = reader.tables(directory.metrics_json, {"metric"})
    runs = _runs(directory, problems, complete)
    frameworks = _frameworks(config, [r.framework for r in runs] + [s["framework"] for s in scores])
    points = _points(config, [*(r.condition for r in runs), *map(_point, scores)])
    seeds = sorted({*_reached(config, {r.seed for r in runs}), *(r.seed for r in runs)}) or [0]
    known = {m["metric"] for m in metrics}
    metrics += [
        {"metric": name, "role": "secondary"} for name in _distinct(s["metric"] for s in scores) if name not in known
    ]
    return Study(
        toml=toml,
        config=config,
        runs=_with_missing(runs, frameworks, seeds, points),
        scores=scores,
        metrics=metrics,
        verdicts=verdicts,
        data=reader.table(directory.data_json),
        extractor=reader.table(directory.classifier_json),
        frameworks=frameworks,
        seeds=seeds,
        points=points,
        problems=problems,
        scatter=reader.tables(directory.variance_json, {"metric", "framework", "sources"})
        if config.get("vary")
        else [],
    )


def _runs(directory: StudyDirectory, problems: list[str], complete: Set[str]) -> list[RunRecord]:
    """Every ordinary run that can be read, with its logs. Runs in which one source of randomness varies alone are no
    further seeds: they are behind the scatter alone.
    """
    runs: list[RunRecord] = []
    for each in directory.run_directories():
        try:
            run = each.read(problems, True if each.id in complete else None)
        except InputError as error:
            problems.append(f"{error.where}: {error.what}; it is left out.")
            continue
        if run.spec.get("seeds"):
            continue
        _ = run.log, run.timing  # read now, so that what is wrong with them is noted before the page is written
        runs.append(run)
    return runs


def _point(row: Row) -> Row:
    """The condition of a score or a verdict."""
    point = row.get("condition")
    return point if isinstance(point, dict) else {}


def _points(config: Row, seen: list[Row]) -> dict[str, Row]:
    """The points of the study's grid that were seen, by their text, in the grid's order, and any others after them."""
    grid = config.get("grid")
    grid = {key: values for key, values in grid.items() if isinstance(values, list)} if isinstance(grid, dict) else {}
    planned = [dict(zip(grid, point, strict=True)) for point in itertools.product(*grid.values())]
    known = {condition_key(point): point for point in planned}
    points = {condition_key(point): point for point in seen} or {condition_key({}): {}}
    order = {key: place for place, key in enumerate(known)}
    keys = sorted(points, key=lambda key: order.get(key, len(order)))
    return {text_of(point): point for point in (known.get(key, points[key]) for key in keys)}


def _with_missing(
    runs: list[RunRecord], frameworks: list[str], seeds: list[int], points: dict[str, Row]
) -> list[RunRecord]:
    """The runs in reading order, with a stand-in for each that was planned and has left no directory."""
    there = {(condition_key(r.condition), r.framework, r.seed) for r in runs}
    missing = [
        RunRecord(id="", framework=f, seed=s, condition=point, status="missing")
        for point, f, s in itertools.product(points.values(), frameworks, seeds)
        if (condition_key(point), f, s) not in there
    ]
    place = {f: i for i, f in enumerate(frameworks)}
    order = {condition_key(point): i for i, point in enumerate(points.values())}
    return sorted(runs + missing, key=lambda r: (order[condition_key(r.condition)], place[r.framework], r.seed, r.id))


def _frameworks(config: Row, seen: list[str]) -> list[str]:
    """Frameworks in the study's own order, strays after them."""
    named = config.get("frameworks")
    return _distinct([*(map(str, named) if isinstance(named, list) else sorted(seen)), *seen])


def _seeds(config: Row) -> list[int]:
    seeds = config.get("seeds", [])
    if isinstance(seeds, int):
        return list(range(seeds))
    return [s for s in seeds if isinstance(s, int)] if isinstance(seeds, list) else []


def _reached(config: Row, seen: set[int]) -> list[int]:
    """The study's seeds up to the look that its runs have reached; all where no looks are planned."""
    looks = config.get("looks")
    return up_to_look(_seeds(config), looks if isinstance(looks, list) else (), seen)


def _distinct(values: Any) -> list[str]:
    return list(dict.fromkeys(values))
