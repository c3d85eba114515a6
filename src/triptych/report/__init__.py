"""The report: a study's files in; one self-contained page, figures and tables out.

The page holds all it shows (pictures as data URIs, figures as inline SVG) and asks the network for nothing;
its own content-security policy forbids it. No PyTorch is imported, and the same files give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import store, text
from triptych.directory import StudyDirectory
from triptych.report import (
    certainty,
    drawing,
    facts,
    figures,
    headlines,
    limitations,
    lines,
    matched,
    pages,
    pdf,
    pictures,
    plotting,
    rankings,
    scatter,
    stability,
    tables,
    topics,
    translation,
)
from triptych.report.collect import Row, Study, collect
from triptych.report.plotting import Panel
from triptych.report.tables import Cells
from triptych.topics import Topic
from triptych.verdicts.wording import declared_names, display

__all__ = ["write"]


@dataclass(frozen=True)
class Shown:
    """What is drawn of one condition: its score cells, and its panels by what they show."""

    cells: Cells
    terms: list[Panel]
    norms: list[Panel]
    scores: list[Panel]
    shares: list[Panel]
    responses: dict[Topic, list[Panel]]


def write(study_dir: Path, complete: Set[str] = frozenset(), with_figures: bool = False) -> Path:
    """Write report.html, table.csv and table.tex into a study's directory; the page's path.

    Drawing figures/*.pdf takes seconds, so it is done only `with_figures`. Without, those of an earlier report stay if
    they show what they would show now, and are removed if not. `complete` are the ids of runs that are known to be
    complete; the files of all others are checked here. Raises InputError when the directory is no study's or a symbolic
    link lies in it. A study still under way gives a report that says so.
    """
    directory = StudyDirectory(study_dir)
    store.refuse_links(directory.path)  # before anything in figures/ is deleted, which might be a folder elsewhere
    study = collect(directory.path, complete)
    with declared_names(study.names):
        _write(directory, study, with_figures)
    return directory.report_html


def _write(directory: StudyDirectory, study: Study, with_figures: bool) -> None:
    shown = {condition: _shown(study, condition) for condition in study.conditions}
    cells = {condition: each.cells for condition, each in shown.items()}
    store.write(directory.table_csv, tables.as_csv(study, cells).encode())
    store.write(directory.table_tex, tables.as_tex(study, cells).encode())
    there = _our_figures(directory.figures)
    kept = _figures(study, shown, directory.figures, with_figures) if with_figures or there else set()
    for old in there - kept:  # it would show other numbers
        old.unlink()
    store.write(directory.report_html, _page(study, shown, bool(kept)).encode())


def _shown(study: Study, condition: str) -> Shown:
    cells = tables.scores(study, condition)
    return Shown(
        cells=cells,
        terms=figures.curves(study, condition),
        norms=figures.curves(study, condition, "gradient_norms"),
        scores=figures.scores(study, cells, _plotted(study)),
        shares=scatter.panels(study, condition),
        responses=figures.responses(study, condition),
    )


def _plotted(study: Study) -> list[Row]:
    """The metrics that get a figure of their own: the primary ones, or all where there is none."""
    return topics.directed(study, "primary") or topics.directed(study)


_OUR_FIGURE = re.compile(r"(curves|scores|responses|shares|samples|reconstructions)(_\d+)?\.pdf")


def _our_figures(folder: Path) -> set[Path]:
    """The figures of an earlier report, and no other files."""
    return {path for path in folder.iterdir() if _OUR_FIGURE.fullmatch(path.name)} if folder.is_dir() else set()


def _figures(study: Study, shown: dict[str, Shown], folder: Path, draw: bool) -> set[Path]:
    """One PDF per kind of figure and condition; the paths of those that are there then and true."""
    folder.mkdir(exist_ok=True)
    made: set[Path] = set()
    for number, (condition, each) in enumerate(shown.items(), start=1):
        tail = f"_{number}" if len(study.conditions) > 1 else ""
        responses = [panel for group in each.responses.values() for panel in group]
        sheets = {"curves": each.terms, "scores": each.scores, "shares": each.shares, "responses": responses}
        for name, panels in sheets.items():
            path = folder / f"{name}{tail}.pdf"
            if panels and pdf.panels(panels, path, study.frameworks, draw):
                made.add(path)
        for name in ("samples", "reconstructions"):
            first = [r for r in study.of(condition) if r.seed == study.seeds[0]]
            grids = [(display(r.framework), last[1]) for r in first if (last := pictures.final(getattr(r, name)))]
            path = folder / f"{name}{tail}.pdf"
            if grids and pdf.pictures(grids, path, draw):
                made.add(path)
    return made


def _section(study: Study, condition: str, drawn: Shown, album: pictures.Album) -> dict[str, Any]:
    """All that the page shows of one condition."""
    cells = drawn.cells
    orders = rankings.rankings(study, condition, cells)
    shown = lines.groups(study, cells)
    certificate = matched.certificate(study, condition)
    return {
        "name": condition,
        "headlines": headlines.headlines(study, condition, cells),
        "risks": certainty.risks(study, condition),
        "pairs": list(dict.fromkeys((v["a"], v["b"]) for v in study.verdicts_of(None, condition))),
        "verdicts": {
            topic: [(m, study.verdicts_of(m["metric"], condition)) for m in metrics]
            for topic, metrics in topics.by_topic(study).items()
        },
        "matrix": [
            (topic, m, {(v["a"], v["b"]): v for v in study.verdicts_of(m["metric"], condition)})
            for topic, metrics in topics.by_topic(study, "primary").items()
            for m in metrics
            if study.verdicts_of(m["metric"], condition)
        ],
        "cells": cells,
        "groups": shown,
        "lines": {line.metric["metric"]: line for group in shown for line in group.primary},
        "bounded": any(c.real_baseline is not None or c.noise_baseline is not None for c in cells.values()),
        "rankings": orders,
        "ranking": rankings.summary(orders) if orders else "",
        "stability": stability.stability(study, condition, cells),
        "scatter": scatter.scatter(study, condition),
        "shares": drawing.svgs(drawn.shares),
        "pictures": _pictures(study, condition, album),
        "development": pictures.development(study, condition, album),
        "curves": drawing.svgs(drawn.terms),
        "gradients": drawing.svgs(drawn.norms),
        "dots": drawing.svgs(drawn.scores),
        "responses": {topic: drawing.svgs(panels) for topic, panels in drawn.responses.items()},
        "costs": matched.costs(study, condition),
        "certificate": certificate,
        "shares_latents": matched.shares_latents(certificate),
    }


def _contents(sections: list[dict[str, Any]], translated: list[translation.Table]) -> dict[str, str]:
    """The page's parts in order; what a study has nothing of is no part of it."""

    def there(key: str) -> bool:
        return any(section[key] for section in sections)

    parts = [
        ("answer", "Answer", True),
        ("pictures", "Pictures", True),
        ("curves", "Learning curves", True),
        ("scores", "Scores", True),
        ("rankings", "Where rankings change", there("rankings")),
        ("responses", "Robustness and other curves", there("responses")),
        ("translation", "Trained and tested on translated images", bool(translated)),
        ("stability", "Stability", there("stability")),
        ("scatter", "Where the scatter comes from", there("scatter")),
        ("verdicts", "Verdicts", True),
        ("cost", "Cost", True),
        ("matched", "Matched conditions", True),
        ("reproduce", "Reproduce", True),
        ("limits", "What this does not say", True),
    ]
    return {part: title for part, title, shown in parts if shown}


_ABILITY = {"samples": "sample", "reconstructions": "reconstruct"}


def _pictures(study: Study, condition: str, album: pictures.Album) -> dict[int, dict[str, list[dict[str, Any]]]]:
    """Seed to its sample and reconstruction grids, one of each per framework, with the reason where there is none."""
    by_seed: dict[int, dict[str, list[dict[str, Any]]]] = {}
    for seed in study.seeds:
        runs = [r for r in study.of(condition) if r.seed == seed]
        kinds: dict[str, list[dict[str, Any]]] = {"samples": [], "reconstructions": []}
        for run in runs:
            for kind, entries in kinds.items():
                last = pictures.final(getattr(run, kind))
                uri = album.get(last[1]) if last else None
                path = last[1].relative_to(run.directory.path.parents[1]).as_posix() if last and run.directory else ""
                lacks = (run.outcome.get("lacks") or {}).get(_ABILITY[kind], "")
                entries.append(
                    {"run": run, "lacks": lacks, "images": last[0] if last else None, "uri": uri, "path": path}
                )
        by_seed[seed] = kinds
    return by_seed


def _page(study: Study, shown: dict[str, Shown], with_figures: bool) -> str:
    """The page's HTML; every text in it is escaped by Jinja."""
    from markupsafe import Markup

    album = pictures.albums(study)
    sections = [_section(study, condition, drawn, album) for condition, drawn in shown.items()]
    translated = translation.translation(study, {condition: each.cells for condition, each in shown.items()})
    templates = pages.environment()
    templates.filters |= {"condition": text.condition}
    return pages.rendered(
        templates.get_template("page.html.j2"),
        study=study,
        with_figures=with_figures,
        facts=facts.facts(study),
        certainty=certainty.certainty(study),
        basis=certainty.basis(study),
        legend=certainty.legend(study),
        troubles=limitations.troubles(study),
        limits=limitations.limits(study),
        levels=certainty.levels(study),
        unmeasured=topics.unmeasured(study),
        sections=sections,
        translated=translated,
        contents=_contents(sections, translated),
        spread=stability.measures(study),
        counted=stability.counted(study),
        versions=pages.versions(run.environment for run in study.runs),
        album=album,
        better=tables.BETTER,
        spec_hash=matched.fingerprint,
        shapes=[Markup(shape) for shape in lines.SHAPES],
        dashes=[" ".join(f"{plotting.LINE * length:.3g}" for length in dash) for dash in plotting.DASHES],
    )
