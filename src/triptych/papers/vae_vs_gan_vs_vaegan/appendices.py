"""Appendices A to C of the paper, every network layer by layer, and who descends what: from the code itself.

Source: "VAE vs GAN vs VAE-GAN" (University of Toronto, 2021), appendices A to C. Shapes, parameters and FLOPs are those
of `triptych.training.cost.layers`, at the paper's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triptych.frameworks import framework_of
from triptych.papers.vae_vs_gan_vs_vaegan.rates import FRAMEWORKS
from triptych.spec import NetworkSpec, RunSpec
from triptych.study.presets import PRESETS
from triptych.text import MINUS, number
from triptych.training import cost

NAMES = {"enc": "Appendix A: the encoder", "dec": "Appendix B: the decoder", "dis": "Appendix C: the discriminator"}


@dataclass(frozen=True)
class Appendix:
    """A network as a table: its title, its layers' rows of cells, and the total of parameters and FLOPs per image."""

    title: str
    rows: list[tuple[str, str, str, str, str]]
    parameters: int
    flops: float


def appendices(spec: NetworkSpec | None = None, size: int = 64, channels: int = 1) -> list[Appendix]:
    """Encoder, decoder and discriminator, by default the paper's."""
    spec = spec or NetworkSpec.model_validate(PRESETS["paper"]["network"])
    layers = cost.layers(spec, size, channels)
    return [
        Appendix(
            title=title,
            rows=[_cells(row) for row in layers[network]],
            parameters=sum(row["parameters"] for row in layers[network]),
            flops=sum(row["flops"] for row in layers[network]),
        )
        for network, title in NAMES.items()
    ]


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """Layer, kind, shape, parameters and MFLOP; empty where a layer has none."""
    parameters = number(row["parameters"]) if row["parameters"] else ""
    flops = number(row["flops"] / 1e6, 3) if row["flops"] else ""
    return row["layer"], str(row["kind"]).replace("x", "×"), " × ".join(map(str, row["shape"])), parameters, flops


def objectives() -> list[tuple[str, str, str]]:
    """Who descends what in the matched frameworks: framework, player, and its weighted sum of terms."""
    frameworks = {name: framework_of(RunSpec(framework=name)) for name in FRAMEWORKS}
    return [
        (name, player, _sum(loss))
        for name, framework in frameworks.items()
        for player, loss in framework.losses.items()
    ]


def _sum(loss: Mapping[str, float]) -> str:
    """A weighted sum of terms as one writes it: "0.1 llike − gan"."""
    terms = [(MINUS if w < 0 else "+", "" if abs(w) == 1 else f"{number(abs(w))} ", term) for term, w in loss.items()]
    return " ".join(f"{sign} {weight}{term}" for sign, weight, term in terms).removeprefix("+ ")
