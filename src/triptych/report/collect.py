"""The files of a study, read into one plain structure; whatever is missing or torn is noted, never fatal.

A report may be asked for while runs are still going, so any file may be absent, and the last line of a
`.jsonl` half written.
"""

from __future__ import annotations

import itertools
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.errors import InputError
from triptych.store import MANIFEST
from triptych.verdicts.wording import NAMES

Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run as far as it has come; `status` is "finished", "diverged", "unfinished" or "missing"."""

    id: str
    framework: str
    seed: int
    condition: str
    status: str
    spec: Row = field(default_factory=dict)
    environment: Row = field(default_factory=dict)
    outcome: Row = field(default_factory=dict)
    log: list[Row] = field(default_factory=list)
    timing: list[Row] = field(default_factory=list)
    samples: dict[int, Path] = field(default_factory=dict)
    reconstructions: dict[int, Path] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Training images seen."""
        return int(self.outcome.get("images") or (self.log[-1].get("images", 0) if self.log else 0))


@dataclass(frozen=True)
class Study:
    """All that the report shows, before it is made into words, tables and figures."""

    toml: str
    config: Row
    runs: list[Run]
    scores: list[Row]
    metrics: list[Row]
    verdicts: list[Row]
    data: Row
    extractor: Row
    frameworks: list[str]
    seeds: list[int]
    conditions: list[str]
    problems: list[str]

    def of(self, condition: str, framework: str | None = None) -> list[Run]:
        """The runs that left a directory, of one condition and, if named, one framework, by seed."""
        return [
            r
            for r in self.runs
            if r.condition == condition and framework in (None, r.framework) and r.status != "missing"
        ]

    def scores_of(self, condition: str) -> dict[tuple[str, str], list[Row]]:
        """(metric, framework) to its lines of scores.jsonl under one condition, by seed."""
        found: dict[tuple[str, str], list[Row]] = {}
        for row in sorted(self.scores, key=lambda s: s.get("seed", 0)):
            if (row.get("condition") or "") == condition:
                found.setdefault((row["metric"], row["framework"]), []).append(row)
        return found

    def verdicts_of(self, metric: str, condition: str) -> list[Row]:
        """The verdicts on one metric under one condition."""
        return [v for v in self.verdicts if v["metric"] == metric and (v.get("condition") or "") == condition]


def collect(study_dir: Path) -> Study:
    """Read a study's directory; raises InputError when it is none (no study.toml and no runs)."""
    problems: list[str] = []
    toml = _text(study_dir / "study.toml")
    if not toml and not (study_dir / "runs").is_dir():
        raise InputError("not the directory of a study", where=str(study_dir), mend="It holds no study.toml.")
    try:
        config = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        config = {}
        problems.append(f"study.toml cannot be read ({error}).")
    scores = [r for r in _lines(study_dir / "scores.jsonl", problems) if {"framework", "metric"} <= r.keys()]
    verdicts = _list(study_dir / "verdicts.json", {"metric", "a", "b", "verdict"}, problems)
    metrics = _list(study_dir / "metrics.json", {"metric"}, problems)
    folders = sorted((study_dir / "runs").glob("*/")) if (study_dir / "runs").is_dir() else []
    runs = [run for folder in folders if (run := _run(folder, problems))]
    frameworks = _frameworks(config, [r.framework for r in runs] + [s["framework"] for s in scores])
    conditions = _distinct([*(r.condition for r in runs), *(s.get("condition") or "" for s in scores)]) or [""]
    conditions.sort(key=_place_in(config))
    seeds = sorted({*_seeds(config), *(r.seed for r in runs)}) or [0]
    runs = _with_missing(runs, frameworks, seeds, conditions)
    known = {m["metric"] for m in metrics}
    metrics += [
        {"metric": name, "role": "secondary"} for name in _distinct(s["metric"] for s in scores) if name not in known
    ]
    return Study(
        toml=toml,
        config=config,
        runs=runs,
        scores=scores,
        metrics=metrics,
        verdicts=verdicts,
        data=_object(study_dir / "data" / "data.json", problems),
        extractor=_object(study_dir / "features" / "classifier.json", problems),
        frameworks=frameworks,
        seeds=seeds,
        conditions=conditions,
        problems=problems,
    )


def _run(folder: Path, problems: list[str]) -> Run | None:
    spec = _object(folder / "spec.json", problems)
    if "framework" not in spec:
        problems.append(f"runs/{folder.name} has no readable spec.json and is left out.")
        return None
    outcome = _object(folder / "outcome.json", problems)
    return Run(
        id=folder.name,
        framework=str(spec["framework"]),
        seed=int(spec.get("seed", 0)),
        condition=str(spec.get("condition") or ""),
        status=str(outcome.get("status")) if (folder / MANIFEST).is_file() and outcome else "unfinished",
        spec=spec,
        environment=_object(folder / "environment.json", problems),
        outcome=outcome,
        log=_lines(folder / "log.jsonl", problems),
        timing=_lines(folder / "timing.jsonl", problems),
        samples=_grids(folder / "samples"),
        reconstructions=_grids(folder / "reconstructions"),
    )


def _with_missing(runs: list[Run], frameworks: list[str], seeds: list[int], conditions: list[str]) -> list[Run]:
    """The runs in reading order, with a stand-in for each that was planned and has left no directory."""
    there = {(r.condition, r.framework, r.seed) for r in runs}
    planned = itertools.product(conditions, frameworks, seeds)
    missing = [
        Run(id="", framework=f, seed=s, condition=c, status="missing") for c, f, s in planned if (c, f, s) not in there
    ]
    place = {f: i for i, f in enumerate(frameworks)}
    order = {c: i for i, c in enumerate(conditions)}
    return sorted(runs + missing, key=lambda r: (order[r.condition], place[r.framework], r.seed, r.id))


def _frameworks(config: Row, seen: list[str]) -> list[str]:
    """Frameworks in the study's own order, strays after them."""
    named = config.get("frameworks")
    return _distinct([*(map(str, named) if isinstance(named, list) else sorted(seen, key=_usual)), *seen])


def _usual(framework: str) -> tuple[int, str]:
    known = list(NAMES)
    game = framework.partition("@")[0]
    return (known.index(game) if game in known else len(known), framework)


def _seeds(config: Row) -> list[int]:
    seeds = config.get("seeds", [])
    if isinstance(seeds, int):
        return list(range(seeds))
    return [s for s in seeds if isinstance(s, int)] if isinstance(seeds, list) else []


def _place_in(config: Row) -> Any:
    """A sort key that puts conditions in the order of the study's grid, as far as their text tells it."""
    grid = config.get("grid")
    points = [f"{k}={v}" for k, vs in grid.items() for v in vs] if isinstance(grid, dict) else []
    return lambda condition: [points.index(p) if p in points else len(points) for p in condition.split(", ")]


def _grids(folder: Path) -> dict[int, Path]:
    """Image count to grid, in order of training."""
    return {int(p.stem): p for p in sorted(folder.glob("*.png")) if p.stem.isdecimal()}


def _distinct(values: Any) -> list[str]:
    return list(dict.fromkeys(values))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _json(path: Path, problems: list[str]) -> Any:
    text = _text(path)
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        problems.append(f"{path.parent.name}/{path.name} is not whole JSON and is left out.")
        return None


def _object(path: Path, problems: list[str]) -> Row:
    value = _json(path, problems)
    return value if isinstance(value, dict) else {}


def _list(path: Path, needed: set[str], problems: list[str]) -> list[Row]:
    value = _json(path, problems)
    return [r for r in value if isinstance(r, dict) and needed <= r.keys()] if isinstance(value, list) else []


def _lines(path: Path, problems: list[str]) -> list[Row]:
    """The objects in a .jsonl file; a last line without its end is still being written, and passed over."""
    rows: list[Row] = []
    lines = _text(path).split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError:
            row = None
            if number < len(lines):
                problems.append(f"{path.parent.name}/{path.name} line {number} is not JSON and is left out.")
        if isinstance(row, dict):
            rows.append(row)
    return rows
