"""Several studies in one page: how frameworks rank over data sets, by each primary measure that all studies share."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import store
from triptych.errors import InputError
from triptych.report import facts, pages, tables, topics
from triptych.report.collect import Row, Study, collect
from triptych.report.drawing import svg
from triptych.report.plotting import MARKERS, Axis, Mark, Panel, Shown, Words
from triptych.text import count, listed, number
from triptych.verdicts.ranks import Ranking, rank
from triptych.verdicts.wording import declared_names, display

FEW = 5
"""With fewer data sets, ranks decide little."""
PAGE, RECORD = "ranks.html", "ranks.json"


@dataclass(frozen=True)
class Measure:
    """One measure over all data sets: typical scores by data set and framework, and the ranking."""

    metric: Row
    scores: list[dict[str, float | None]]
    ranking: Ranking

    @property
    def sentence(self) -> str:
        """Who ranks where, and what of it is more than chance."""
        ranking = self.ranking
        places = [f"{display(ranking.frameworks[i])} {number(ranking.mean_ranks[i], 3)}" for i in ranking.order]
        text = f"Mean ranks: {listed(places)}"
        if ranking.p is None or ranking.critical_difference is None:
            return f"{text}. One data set gives no test."
        if ranking.decided:
            pairs = listed([f"{display(a)} ranks better than {display(b)}" for a, b in ranking.decided])
            text += f". {pairs}, by more than chance"
        else:
            text += ". No two differ by more than chance"
        found = f"p = {number(ranking.p, 2)} (Friedman, by permutation)"
        difference = f"critical difference {number(ranking.critical_difference, 3)} ranks (Nemenyi)"
        missing = [f"{display(f)} on {count(n, 'data set')}" for f, n in ranking.missing.items()]
        gaps = f" No score, so the last rank: {listed(missing)}." if missing else ""
        return f"{text}: {found}, {difference}.{gaps}"


def write(studies: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Write a page and its numbers, ranks.html and ranks.json, into `out`; returns the numbers of each measure.

    Raises InputError for fewer than two studies, for one with several conditions, for studies without two frameworks
    or a primary measure in common, and for a folder that holds something else.
    """
    _check_folder(out)
    read = [collect(folder) for folder in studies]
    names = _names(read, studies)
    frameworks = _shared(read, studies)
    measures = _measures(read, frameworks)
    if not measures:
        raise InputError("the studies have no primary measure with scores in common", where=listed(_paths(studies)))
    with declared_names({key: name for study in read for key, name in study.names.items()}):
        record = [
            {"metric": m.metric["metric"], "data_sets": names, "scores": m.scores, "sentence": m.sentence}
            | dataclasses.asdict(m.ranking)
            for m in measures
        ]
        page = _page(read, studies, names, frameworks, measures)
    out.mkdir(parents=True, exist_ok=True)
    store.write(out / RECORD, store.to_json(record))
    store.write(out / PAGE, page.encode())
    return record


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError("is a file, not a directory", where=str(out), hint="Choose another --out.")
    if out.is_dir() and (others := sorted({p.name for p in out.iterdir()} - {PAGE, RECORD})):
        what = f"contains files that are no page over several studies, such as {others[0]}"
        raise InputError(what, where=str(out), hint="Choose another --out.")
    store.refuse_link(out, out / PAGE, out / RECORD)


def _paths(studies: Sequence[Path]) -> list[str]:
    return [str(path) for path in studies]


def _names(read: list[Study], studies: Sequence[Path]) -> list[str]:
    """What each data set is called; with the study's folder where two have the same."""
    names = [facts.facts(study)["data"] for study in read]
    return [
        f"{name} ({path.name})" if Counter(names)[name] > 1 else name for name, path in zip(names, studies, strict=True)
    ]


def _shared(read: list[Study], studies: Sequence[Path]) -> list[str]:
    """The frameworks that all studies have, in the order of the first."""
    if len({path.resolve() for path in studies}) < 2:
        hint = "Give two or more; `triptych report STUDY` writes the report of one."
        raise InputError("one study is not several", where=listed(_paths(studies)), hint=hint)
    for study, path in zip(read, studies, strict=True):
        if len(study.conditions) > 1:
            what = f"has {len(study.conditions)} conditions, and only studies without a grid can be compared over data"
            raise InputError(what, where=str(path), value=study.conditions[0])
    shared = [f for f in read[0].frameworks if all(f in study.frameworks for study in read)]
    if len(shared) < 2:
        each = "; ".join(f"{path}: {listed(s.frameworks)}" for s, path in zip(read, studies, strict=True))
        raise InputError("the studies have fewer than two frameworks in common", value=each)
    return shared


def _measures(read: list[Study], frameworks: list[str]) -> list[Measure]:
    """The primary measures that all studies have, in the order of the first."""
    cells = [tables.scores(study, study.conditions[0]) for study in read]
    found = []
    for metric in topics.directed(read[0], "primary"):
        name = metric["metric"]
        if all(any(own == name for own, _ in each) for each in cells):
            scores = [{f: each[name, f].mean for f in frameworks} for each in cells]
            if ranking := rank(scores, frameworks, metric["better"]):
                found.append(Measure(metric=metric, scores=scores, ranking=ranking))
    return found


def _cautions(read: list[Study], frameworks: list[str]) -> list[str]:
    """What a reader must know before anything else."""
    found, data = [], [facts.facts(study)["data"] for study in read]
    if len(read) < FEW:
        found.append(f"{count(len(read), 'data set')} decide little: ranks need about {FEW} and more.")
    if len(set(data)) < len(data):
        found.append("Some studies are of the same images, so they are not independent; p-values are too small.")
    settings = {tuple(facts.facts(study)[key] for key in ("size", "network", "optimiser")) for study in read}
    if len(settings) > 1:
        found.append("The studies differ in size, network or optimiser, so data sets differ in more than their images.")
    left = sorted({f for study in read for f in study.frameworks} - set(frameworks))
    if left:
        found.append(f"Not in all studies, so left out: {listed([display(f) for f in left])}.")
    return found + [problem for study in read for problem in study.problems]


def _diagram(measure: Measure, frameworks: list[str]) -> Panel:
    """Mean ranks on a line, with a bar over those that do not differ, after Demšar's figure 1."""
    ranking = measure.ranking
    label = str(measure.metric.get("label") or measure.metric["metric"])

    k = len(ranking.frameworks)
    shown: list[Shown] = []
    for level, place in enumerate(ranking.order):
        series = frameworks.index(ranking.frameworks[place])
        x, y = ranking.mean_ranks[place], -1.0 - level
        shown += [
            Mark([x, x], [0, y], "line", width=0.8),
            Mark([x], [0], series, marker=MARKERS[series % len(MARKERS)], size=6),
            Words(x, y, display(ranking.frameworks[place])),
        ]
    for level, group in enumerate(ranking.groups):
        ends, height = [ranking.mean_ranks[group[0]], ranking.mean_ranks[group[-1]]], 0.55 + 0.4 * level
        shown.append(Mark(ends, [height, height], "ink", width=3))
    return Panel(
        title=label,
        alt=f"{label}. {measure.sentence}",
        shown=shown,
        x=Axis("mean rank, 1 is best", low=0.7, high=k + 0.3, ticks={place: str(place) for place in range(1, k + 1)}),
        y=Axis(low=-1.6 - k, high=1.2 + 0.4 * len(ranking.groups), ticks={}),
        height=1.5 + 0.25 * len(frameworks),
    )


def _page(
    read: list[Study], studies: Sequence[Path], names: list[str], frameworks: list[str], measures: list[Measure]
) -> str:
    diagrams = [svg(_diagram(measure, frameworks)) for measure in measures]
    return pages.rendered(
        pages.environment().get_template("across.html.j2"),
        frameworks=frameworks,
        names=names,
        studies=_paths(studies),
        seeds=[len(study.seeds) for study in read],
        measures=list(zip(measures, diagrams, strict=True)),
        better=tables.BETTER,
        troubles=_cautions(read, frameworks),
        contents={"ranks": "Ranks", "method": "What this says"},
    )
