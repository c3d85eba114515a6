"""All that the reproduction's page and its Markdown say, gathered once from the studies' files; no text is made here
that a table or a picture does not bear out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from triptych import store
from triptych.claims.results import PAPER
from triptych.text import finite, number
from triptych.verdicts import stats
from triptych.verdicts.stats import Estimate

if TYPE_CHECKING:
    from triptych.evaluation.metrics import Output
    from triptych.papers.vae_vs_gan_vs_vaegan.ablation import Effect, Finding
    from triptych.claims.engine import Claim
    from triptych.papers.vae_vs_gan_vs_vaegan.rates import Elasticity, Point, Tuned
    from triptych.claims.results import Results, RunRecord
    from triptych.papers.vae_vs_gan_vs_vaegan.speed import Comparison, Time
    from triptych.papers.vae_vs_gan_vs_vaegan.table1 import Row, Spread

_MEND = "One quirk mended at a time: from as published to mended, line by line, at one seed."
_KEEP = "One quirk kept at a time: all others are mended, so what a line shows is that quirk's own doing."
SEEN = {
    "figure2": (
        "Figure 2, redone",
        "Held-out digits above the VAE's reconstructions of them, trained on centred (2a) and translated (2b) digits, "
        "as published and, with all of it mended, matched.",
    ),
    "figure3": (
        "Figure 3, redone",
        "The same digits above the VAE-GAN's reconstructions. As published, the “translated” VAE-GAN (3b) was trained "
        "on centred digits; with its loader mended, on translated ones; below, matched.",
    ),
    "samples": (
        "Samples of all three frameworks",
        "At the paper's rate, tuned, and as published; a column is one latent wherever networks have the same size.",
    ),
    "quirk-vae-translated": ("The translated VAE, one quirk mended at a time", _MEND),
    "quirk-vae-translated-keep": ("The translated VAE, one quirk kept at a time", _KEEP),
    "quirk-gan": ("The GAN's samples, one quirk mended at a time", _MEND),
    "quirk-gan-keep": ("The GAN's samples, one quirk kept at a time", _KEEP),
    "quirk-vaegan": ("The VAE-GAN, one quirk mended at a time", _MEND),
    "quirk-vaegan-keep": ("The VAE-GAN, one quirk kept at a time", _KEEP),
}
"""Each picture's title and what is to be seen on it."""


@dataclass(frozen=True)
class RunAt:
    """At what size, width and budget the runs were made, read off their own studies."""

    name: str
    size: int
    width: float
    images: int
    steps: int
    seeds: int

    @property
    def short(self) -> str:
        """For a title: "scale small: 32 pixels, 12 800 images a run"."""
        return f"scale {self.name}: {self.size} pixels, {number(self.images)} images a run"

    @property
    def whole(self) -> bool:
        """Whether this is the paper's own scale."""
        return (self.size, self.width, self.images) == tuple(PAPER.values())

    @property
    def sentence(self) -> str:
        """The scale in words, beside the paper's."""
        if self.whole:
            return "The paper's own scale: 64 × 64 pixels, all channels, 60 000 training images a run."
        return (
            f"Scale “{self.name}”: {self.size} × {self.size} pixels, {number(self.width)} of the paper's channels, "
            f"{number(self.images)} training images a run ({number(self.steps)} steps); the paper has "
            "64 × 64 pixels, all its channels and 60 000 images (938 steps). What is compared here shares the scale, "
            "but a verdict can hang on it: with few steps, whoever learns slowly, and any low learning rate, has not "
            "come to its end."
        )


@dataclass(frozen=True)
class Cost:
    """What a run of one framework takes under one protocol: training seconds over its runs, arithmetic, parameters."""

    protocol: str
    framework: str
    seconds: Estimate
    images_per_second: float
    flops: float | None
    parameters: int | None


class Picture(NamedTuple):
    """A PNG file, what it is, and what is to be seen on it."""

    path: Path
    title: str
    alt: str


class Chart(NamedTuple):
    """A chart's title, its words for those who do not see it, and its inline `<svg>`."""

    title: str
    alt: str
    svg: str


class Executed(NamedTuple):
    """One study: how many of its runs are there, of how many, how many diverged, the seconds they trained in all."""

    study: str
    there: int
    wanted: int
    diverged: int
    seconds: float


@dataclass(frozen=True)
class Content:
    """Everything that is told, in the order of the page; parts that there are no runs for are empty."""

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
    comparisons: list[Comparison] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    charts: dict[str, Chart] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    drawings: dict[str, str] = field(default_factory=dict)
    machine: dict[str, list[str]] = field(default_factory=dict)
    runs: list[Executed] = field(default_factory=list)
    command: str = ""

    def named(self, *prefixes: str) -> list[str]:
        """The pictures whose names start so, in order."""
        return [name for name in self.pictures if name.startswith(prefixes)]


def gather(results: Results, claims: list[Claim], folder: Path) -> Content:
    """Ask every analysis for its part; pictures are written below `folder`/paper. Reads files, trains nothing."""
    from triptych.papers.vae_vs_gan_vs_vaegan import attribution, charts, diagrams, pictures, rates, speed, table1
    from triptych.claims.quantities import Quantity
    from triptych.report import figures

    quantity = Quantity(metric=charts.SURFACE)
    effects = attribution.effects(results)
    scale = scale_of(results)
    published = bool(results.where(study=table1.STUDY))
    return Content(
        scale=scale,
        claims=claims,
        measures=measures(results, claims, effects),
        table1=table1.rows(results) if published else [],
        spreads=table1.spreads(results) if published else [],
        note=table1.note(results),
        points=rates.surface(results, quantity),
        elasticities=rates.elasticities(results, quantity),
        tuned=rates.tuned(results),
        times=speed.times(results),
        comparisons=[*speed.comparisons(results), *speed.comparisons(results, "seconds")],
        costs=costs(results),
        effects=effects,
        findings=attribution.findings(results, effects),
        charts={
            name: Chart(panel.title, panel.alt, str(figures.svg(panel, f"paper/{name}")))
            for name, panel in charts.panels(results).items()
        },
        pictures={
            name: Picture(path, *SEEN[name]) for name, path in pictures.figures(results, folder / "paper").items()
        },
        drawings={
            "figure1": diagrams.figure1(),
            **{f"wiring-{name}": diagrams.wiring(name) for name in rates.FRAMEWORKS},
            **{f"appendix-{name}": diagrams.appendix(name) for name in ("enc", "dec", "dis")},
        },
        machine=machine(results),
        runs=executed(results),
        command=command_of(scale),
    )


def scale_of(results: Results) -> RunAt:
    """The scale that the studies were made at; "custom" where it is none of those with a name."""
    from triptych.papers.vae_vs_gan_vs_vaegan.designs import SCALES

    spec = next(iter(results.studies.values()))
    size, width, images = spec.data.size, spec.network.width, spec.training.images
    name = next((s.name for s in SCALES.values() if (s.size, s.width, s.images) == (size, width, images)), "custom")
    return RunAt(
        name=name,
        size=size,
        width=width,
        images=images,
        steps=-(-images // spec.training.batch_size),
        seeds=len(spec.seeds),
    )


def command_of(scale: RunAt) -> str:
    """The command that makes these studies."""
    from triptych.papers.vae_vs_gan_vs_vaegan.designs import SCALES

    known = SCALES.get(scale.name)
    own = f" --seeds {scale.seeds}" if known and scale.seeds != known.seeds else ""
    return f"triptych reproduce paper --scale {scale.name}{own}"


def measures(results: Results, claims: list[Claim], effects: list[Effect]) -> list[Output]:
    """What claims and then quirks are measured by, each once, in their order."""
    from triptych.claims.quantities import outputs

    scored = dict.fromkeys(name for study in results.studies.values() for name in study.scoring.metrics or ())
    known = outputs(tuple(scored))
    named = [name for claim in claims for part in claim.parts for name in part.needs]
    named += [effect.measure for effect in effects]
    return [known[name] for name in dict.fromkeys(named)]


def costs(results: Results) -> list[Cost]:
    """Each framework's cost at the paper's setting, matched and as published; diverged runs are left out."""
    at = {"optimiser.name": "Adam", "optimiser.rate": 0.0003, "training.translate": 0.0}
    found = []
    for name in ("vae", "gan", "vaegan"):
        own = {
            "matched": results.where("matched", name, at),
            "as published": results.where("as_published", f"as_published@{name}"),
        }
        found += [cost for protocol, runs in own.items() if (cost := _cost(protocol, name, runs))]
    return sorted(found, key=lambda cost: cost.protocol != "matched")


def _cost(protocol: str, framework: str, runs: list[RunRecord]) -> Cost | None:
    done = [run for run in runs if run.status == "finished" and run.timing]
    if not done:
        return None
    seconds = [float(run.timing[-1]["seconds"]) for run in done]
    images = sum(float(run.timing[-1]["images"]) for run in done)
    parameters = done[0].outcome.get("parameters")
    return Cost(
        protocol=protocol,
        framework=framework,
        seconds=stats.mean(seconds),
        images_per_second=images / sum(seconds),
        flops=finite(done[0].outcome.get("flops_per_image")),
        parameters=sum(parameters.values()) if parameters else None,
    )


def machine(results: Results) -> dict[str, list[str]]:
    """What the runs recorded of where they were computed: each field with all the values seen."""
    seen: dict[str, dict[str, None]] = {}
    for run in results.runs:
        path = run.folder / "environment.json"
        recorded: dict[str, Any] = store.read_json(path) if path.exists() else {}
        for key, value in recorded.items():
            if value is not None and not isinstance(value, (dict, list)):
                seen.setdefault(key, {})[str(value)] = None
    return {key: list(values) for key, values in seen.items()}


def executed(results: Results) -> list[Executed]:
    """What was run of each study."""
    found = []
    for name, study in results.studies.items():
        runs = results.where(study=name)
        wanted = len(study.frameworks) * len(study.seeds) * len(study.conditions())
        seconds = sum(float(run.timing[-1]["seconds"]) for run in runs if run.timing)
        found.append(
            Executed(
                study=name,
                there=len(runs),
                wanted=wanted,
                diverged=sum(run.status == "diverged" for run in runs),
                seconds=seconds,
            )
        )
    return found
