"""A directory of two studies with runs of a few numbers each, and parts of claims about them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from triptych import store
from triptych.claims import engine
from triptych.claims.spec import PartSpec, Protocol
from triptych.spec import RunSpec, StudySpec, checked, to_toml
from triptych.study.plan import runs_of

SEEDS = 5
RATES = [0.00015, 0.0003, 0.0006]
STUDY = checked(
    StudySpec,
    {
        "name": "matched",
        "frameworks": ["vae", "gan", "vaegan"],
        "seeds": SEEDS,
        "grid": {
            "optimiser.name": ["Adam", "RMSprop"],
            "optimiser.rate": RATES,
            "training.translate": [0.0, 0.1],
        },
        "training": {"images": 1000, "snapshots": 2},
        "scoring": {"images": 50, "metrics": ["frechet", "validation_frechet", "pixel_error", "convergence"]},
    },
    "study",
)
OUTER = STUDY.model_copy(update={"name": "rates", "grid": {**STUDY.grid, "optimiser.rate": [0.0012]}})
CENTRED = {"training.translate": 0.0}
ADAM = {**CENTRED, "optimiser.name": "Adam"}
PAPER = {**ADAM, "optimiser.rate": 0.0003}
FOUND = {"matched": STUDY, "rates": OUTER}
PROTOCOLS = {
    "matched": Protocol(study="matched", tuned_over=("matched", "rates"), phrase="under matched conditions"),
    "as published": Protocol(study="as_published", decides=False, phrase="as published"),
}


@functools.cache
def planned(study: str) -> dict[tuple[Any, ...], RunSpec]:
    """A study's runs by framework, seed, optimiser, rate and translation."""
    runs = runs_of(FOUND[study])
    return {(r.framework, r.seed, r.optimiser.name, r.optimiser.rate, r.training.translate): r for r in runs}


def run(folder: Path, framework: str, seed: int, scores: dict[str, Any], **given: Any) -> Path:
    """Write one complete run of the plan; its folder. A score is a value, a reason or a curve."""
    rate, name = given.pop("rate", 0.0003), given.pop("name", "Adam")
    translate, study = given.pop("translate", 0.0), given.pop("study", "matched")
    spec = planned(study)[framework, seed, name, rate, translate]
    own = folder / study / "runs" / spec.id
    own.mkdir(parents=True)
    rows = []
    for metric, score in scores.items():
        row = {"metric": metric, "value": None, "undefined": None, "curve": [], "better": "lower"}
        field = {str: "undefined", list: "curve"}.get(type(score), "value")
        rows.append({**row, field: score})
    outcome = {"status": given.pop("status", "finished"), "images": 1000, **given.pop("outcome", {})}
    for file, content in {"spec": spec.model_dump(mode="json"), "outcome": outcome, "manifest": {"files": {}}}.items():
        (own / f"{file}.json").write_bytes(store.to_json(content))
    for file, lines in {"scores": rows, "log": given.pop("log", []), "timing": given.pop("timing", [])}.items():
        (own / f"{file}.jsonl").write_bytes(store.to_lines(lines))
    assert not given
    return own


def make(folder: Path) -> Path:
    """A directory of two studies without runs."""
    for name, study in FOUND.items():
        (folder / name).mkdir()
        (folder / name / "study.toml").write_text(to_toml(study), encoding="utf-8")
    return folder


def part(**given: Any) -> PartSpec:
    """A matched part on the Fréchet distance at the paper's setting, VAE-GAN against VAE, changed as given."""
    table = {
        "protocol": "matched",
        "statement": "VAE-GAN against VAE.",
        "quantity": {"metric": "frechet_distance"},
        "a": {"framework": "vaegan"},
        "at": PAPER,
        "b": {"framework": "vae"},
        **given,
    }
    made = checked(PartSpec, {key: own for key, own in table.items() if own is not None}, "part")
    return made.under(PROTOCOLS[made.protocol])


def claim(*parts: PartSpec, **given: Any) -> engine.ClaimSpec:
    table = {
        "id": "X1",
        "statement": "S.",
        "where": "1",
        "source": "P.",
        "protocols": PROTOCOLS,
        "parts": [p.model_dump() for p in parts],
        "meaning": {verdict: f"It {verdict}." for verdict in engine.JUDGED},
        **given,
    }
    return checked(engine.ClaimSpec, table, "claim")


def fill(folder: Path, framework: str, values: list[float], metric: str = "frechet_distance", **given: Any) -> None:
    for seed, x in enumerate(values):
        run(folder, framework, seed, {metric: x}, **given)
