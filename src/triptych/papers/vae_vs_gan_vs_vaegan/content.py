"""What the reproduction's page and its Markdown show, gathered once from the studies' files."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from triptych.claims.engine import Claim
from triptych.claims.judging import Part
from triptych.claims.quantities import Quantity, value
from triptych.claims.results import Results
from triptych.directory import ReproductionDirectory
from triptych.evaluation.metrics import Output
from triptych.papers.vae_vs_gan_vs_vaegan import ablation, appendices, charts, pictures, rates, speed, table1
from triptych.papers.vae_vs_gan_vs_vaegan.ablation import Effect, Finding
from triptych.papers.vae_vs_gan_vs_vaegan.appendices import Appendix
from triptych.papers.vae_vs_gan_vs_vaegan.designs import SCALES
from triptych.papers.vae_vs_gan_vs_vaegan.rates import Elasticity, Point, Tuned
from triptych.papers.vae_vs_gan_vs_vaegan.speed import Time
from triptych.papers.vae_vs_gan_vs_vaegan.table1 import Row, Spread
from triptych.report import drawing, pages
from triptych.text import number
from triptych.verdicts import scales
from triptych.verdicts.stats import Estimate

TEXTS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("page.toml").read_text(encoding="utf-8"))
"""The fixed texts of the page."""


@dataclass(frozen=True)
class RunAt:
    """At what size, width and budget the runs were made, read from their own studies."""

    name: str
    size: int
    width: float
    images: int
    steps: int
    seeds: int

    @property
    def short(self) -> str:
        """For a title: "scale small: 32 pixels, 12 800 images per run"."""
        return f"scale {self.name}: {self.size} pixels, {number(self.images)} images per run"

    @property
    def full(self) -> bool:
        """Whether this is the paper's own scale."""
        return self.name == "paper"

    @property
    def sentence(self) -> str:
        """The scale in words, next to the paper's."""
        if self.full:
            return "The paper's own scale: 64 × 64 pixels, all channels, 60 000 training images per run."
        return (
            f"Scale “{self.name}”: {self.size} × {self.size} pixels, {number(self.width)} of the paper's channels, "
            f"{number(self.images)} training images per run ({number(self.steps)} steps); the paper has "
            "64 × 64 pixels, all its channels and 60 000 images (938 steps). What is compared here shares the scale, "
            "but a verdict can depend on it: with few steps, slow learners and low learning rates have not converged."
        )


class TrainingCost(NamedTuple):
    """What a run of one framework takes under one protocol: training seconds over its runs, arithmetic, parameters."""

    protocol: str
    framework: str
    seconds: Estimate
    images_per_second: float
    flops: float | None
    parameters: float | None


class Picture(NamedTuple):
    """A PNG file, its title, and what it shows."""

    path: Path
    title: str
    alt: str


class Chart(NamedTuple):
    """A chart's title, its words for those who do not see it, and its inline `<svg>`."""

    title: str
    alt: str
    svg: str


@dataclass(frozen=True)
class Executed:
    """One study: how many of its planned runs are complete, how many diverged, the seconds they trained in all."""

    study: str
    complete: int
    planned: int
    diverged: int
    seconds: float


@dataclass(frozen=True)
class Content:
    """Everything that the page shows, in its order; parts that there are no runs for are empty."""

    scale: RunAt
    claims: list[Claim]
    measures: list[Output] = field(default_factory=list)
    table1: list[Row] = field(default_factory=list)
    spreads: list[Spread] = field(default_factory=list)
    note: str = ""
    points: list[Point] = field(default_factory=list)
    elasticities: list[Elasticity] = field(default_factory=list)
    tuned: list[Tuned] = field(default_factory=list)
    times: list[Time] = field(default_factory=list)
    speeds: list[Part] = field(default_factory=list)
    costs: list[TrainingCost] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    charts: dict[str, Chart] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    appendices: list[Appendix] = field(default_factory=list)
    objectives: list[tuple[str, str, str]] = field(default_factory=list)
    machine: dict[str, list[str]] = field(default_factory=dict)
    runs: list[Executed] = field(default_factory=list)
    command: str = ""

    def named(self, *prefixes: str) -> list[str]:
        """The pictures whose names start so, in order."""
        return [name for name in self.pictures if name.startswith(prefixes)]


def collect_content(results: Results, claims: list[Claim], folder: Path) -> Content:
    """Ask every analysis for its part; pictures are written into paper/ of `folder`. Reads files, trains nothing."""
    effects, points = ablation.effects(results), rates.surface(results)
    parts = [part for claim in claims for part in claim.parts]
    speeds, elasticities = speed.rows(results, parts), rates.elasticities(results, parts)
    scale = scale_of(results)
    published = bool(results.where(study=table1.STUDY))
    drawn = pictures.figures(results, ReproductionDirectory(folder).pictures)
    return Content(
        scale=scale,
        claims=claims,
        measures=measures(results, claims, effects),
        table1=table1.rows(results) if published else [],
        spreads=table1.spreads(results) if published else [],
        note=table1.note(results),
        points=points,
        elasticities=elasticities,
        tuned=rates.tuned(results),
        times=speed.times(results),
        speeds=speeds,
        costs=training_costs(results),
        effects=effects,
        findings=ablation.findings(results, effects),
        charts={
            name: Chart(panel.title, panel.alt, str(drawing.svg(panel)))
            for name, panel in charts.panels(results, points, effects).items()
        },
        pictures={name: Picture(path, **TEXTS["pictures"][name]) for name, path in drawn.items()},
        appendices=appendices.appendices(),
        objectives=appendices.objectives(),
        machine=pages.versions(run.environment for run in results.runs),
        runs=[executed(results, name) for name in results.studies],
        command=command_of(scale),
    )


def families(content: Content) -> int:
    """How many families of tests the page holds, each of which keeps its level of 5 %.

    The tested parts of a claim under one protocol, the new rows of a table, one column of Table 1, and all quirks of
    one measure.
    """
    parts = [part for claim in content.claims for part in claim.parts] + content.speeds
    parts += [part for row in content.elasticities for part in (row.slope, row.bend)]
    tested = {(part.claim, part.protocol) for part in parts if part.p is not None}
    columns = [spread for spread in content.spreads if spread.p is not None]
    return len(tested) + len(columns) + len({(e.base, e.measure) for e in content.effects if e.p is not None})


def scale_of(results: Results) -> RunAt:
    """The scale that the studies were made at; "custom" where it is none of those with a name."""
    spec = next(iter(results.studies.values()))
    size, width, images = spec.data.size, spec.network.width, spec.training.images
    name = next((s.name for s in SCALES.values() if (s.size, s.width, s.images) == (size, width, images)), "custom")
    return RunAt(
        name=name,
        size=size,
        width=width,
        images=images,
        steps=spec.training.steps(),
        seeds=len(spec.seeds),
    )


def command_of(scale: RunAt) -> str:
    """The command that makes these studies."""
    known = SCALES.get(scale.name)
    own = f" --seeds {scale.seeds}" if known and scale.seeds != known.seeds else ""
    return f"triptych reproduce paper --scale {scale.name}{own}"


def measures(results: Results, claims: list[Claim], effects: list[Effect]) -> list[Output]:
    """The metrics of claims and then of quirks, each once, in their order."""
    named = [name for claim in claims for part in claim.parts for name in part.needs]
    named += [effect.measure.metric for effect in effects]
    return [results.outputs[name] for name in dict.fromkeys(named)]


def training_costs(results: Results) -> list[TrainingCost]:
    """Each framework's cost at the paper's setting, matched and as published; diverged runs are left out."""
    names = rates.FRAMEWORKS
    runs = {("matched", name): results.where("matched", name, rates.PAPER) for name in names}
    runs |= {("as published", name): results.where("as_published", f"as_published@{name}") for name in names}
    found = []
    for (protocol, name), own in runs.items():
        done = [run for run in own if run.status == "finished" and run.timing]
        if done:
            pace = [value(Quantity(cost="seconds_per_image"), run).value or math.nan for run in done]
            cost = TrainingCost(
                protocol=protocol,
                framework=name,
                seconds=scales.mean("factor", [value(Quantity(cost="seconds"), run).value or math.nan for run in done]),
                images_per_second=len(pace) / math.fsum(pace),
                flops=value(Quantity(cost="flops_per_image"), done[0]).value,
                parameters=value(Quantity(cost="parameters"), done[0]).value,
            )
            found.append(cost)
    return found


def executed(results: Results, study: str) -> Executed:
    """What was run of a study."""
    runs = results.where(study=study)
    return Executed(
        study=study,
        complete=len(runs),
        planned=len(results.planned[study]),
        diverged=sum(run.status == "diverged" for run in runs),
        seconds=sum(float(run.timing[-1]["seconds"]) for run in runs if run.timing),
    )
