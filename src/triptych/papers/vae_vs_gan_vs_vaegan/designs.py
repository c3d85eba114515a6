"""The studies of the reproduction, and the scales at which they can be run.

`studies/paper.toml` and `studies/as_published.toml` are the first and the third at the paper's scale, to run them
alone.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from triptych.papers.vae_vs_gan_vs_vaegan.quirks import variants
from triptych.spec import StudySpec, checked

NAMES = ("matched", "rates", "as_published", "ablation")
"""The studies, in the order in which they are run."""
CLAIMS = Path(__file__).with_name("claims.toml")
PAPER = {"data.size": 64, "network.width": 1.0, "training.images": 60_000}
"""The fields of runs at the paper's own scale."""
OUTER_RATES = [0.000075, 0.0012]
"""With the three of `matched`, five rates a factor of 2 apart, the paper's own in their middle."""


@dataclass(frozen=True)
class Scale:
    """The size in pixels, the share of the paper's channels, the training images per run, and the seeds.

    `snapshots` is the most moments of training at which a run is scored.
    """

    name: str
    size: int
    width: float
    images: int
    scored_images: int
    seeds: int
    snapshots: int = 8

    @property
    def sentence(self) -> str:
        """The scale in words."""
        return (
            f"Scale {self.name}: {self.size} x {self.size} pixels, {self.width:g} of the paper's channels, "
            f"{self.images:,} images per run (the paper: 64 x 64, 1, 60,000)"
        )


SCALES = {
    "paper": Scale(name="paper", size=64, width=1.0, images=60_000, scored_images=10_000, seeds=5),
    "small": Scale(name="small", size=32, width=0.25, images=12_800, scored_images=2_000, seeds=5),
    "tiny": Scale(name="tiny", size=16, width=0.0625, images=640, scored_images=50, seeds=2, snapshots=2),
}


def studies(scale: Scale) -> dict[str, StudySpec]:
    """The four studies at a scale, by name."""
    matched, published = _packaged("paper"), _packaged("as_published")
    rates = {
        **matched,
        "name": "rates",
        "grid": {"optimiser.name": matched["grid"]["optimiser.name"], "optimiser.rate": OUTER_RATES},
        "scoring": _without(matched["scoring"], "translation", "translated_frechet", "shift_response", "convergence"),
    }
    overrides = variants()
    ablation = {
        **published,
        "name": "ablation",
        "frameworks": list(overrides),
        "override": {name: override.model_dump(exclude_defaults=True) for name, override in overrides.items()},
        "scoring": _without(published["scoring"], "shift_response"),
    }
    tables = dict(zip(NAMES, (matched, rates, published, ablation), strict=True))
    return {name: _scaled(table, scale) for name, table in tables.items()}


def _without(scoring: dict[str, Any], *metrics: str) -> dict[str, Any]:
    """A scoring without the metrics that its study does not need."""
    options = {name: own for name, own in scoring["options"].items() if name not in metrics}
    return {**scoring, "metrics": [name for name in scoring["metrics"] if name not in metrics], "options": options}


def _packaged(name: str) -> dict[str, Any]:
    return tomllib.loads(
        (resources.files("triptych.papers.vae_vs_gan_vs_vaegan") / f"{name}.toml").read_text(encoding="utf-8")
    )


def _scaled(table: dict[str, Any], scale: Scale) -> StudySpec:
    """A study at a scale: size, width, budget, seeds and the images scored; shapes and latents stay."""
    options = table["scoring"]["options"]
    if "convergence" in options:  # no more images during training than at its end
        limit = min(options["convergence"]["images"], scale.scored_images)
        options = {**options, "convergence": {"images": limit}}
    changes: dict[str, dict[str, Any]] = {
        "data": {"size": scale.size},
        "network": {"width": scale.width},
        "training": {"images": scale.images, "snapshots": min(scale.snapshots, table["training"].get("snapshots", 0))},
        "scoring": {"images": scale.scored_images, "options": options},
    }
    scaled = {part: {**table[part], **own} for part, own in changes.items()}
    return checked(StudySpec, {**table, **scaled, "seeds": scale.seeds}, f"study {table['name']}")
