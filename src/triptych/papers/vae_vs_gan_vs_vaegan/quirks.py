"""The published protocol's quirks, one by one: what each does, and what fixing it changes.

Three of the paper's results are taken apart: the VAE trained on translated images (Figure 2b), the GAN that was
difficult to train (section 4.5) and the VAE-GAN that translation seemed not to hurt (Figure 3b). From each, one quirk
at a time is fixed, and all but one; the paper's facts are in `docs/reference/as-published.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from triptych.spec import Override

GAME = "as_published"
RATE = 0.001
"""The GAN's rate once it is fixed: the project's default (docs/reference/defaults.md)."""

Settings = dict[str, Any]
"""Dotted fields of a run and their values; "dis_share" is Dis's rate as a share of the others'."""

BASES: dict[str, Settings] = {
    "vae-translated": {
        "options.game": "vae",
        "options.reduction": "mean",
        "options.statistics": "batch",
        "network.options.momentum": 0.9,
        "network.options.init": "notebook",
        "optimiser.rate": 3e-4,
        "training.translate": 0.1,
        "training.translate_fill": 0.0,
    },
    "gan": {
        "options.game": "gan",
        "options.generator": "recognised",
        "options.cross_entropy": "sigmoid",
        "options.dis_batches": "separate",
        "options.statistics": "batch",
        "options.redraw": True,
        "network.options.momentum": 0.9,
        "network.options.init": "notebook",
        "optimiser.rate": 0.04,
        "dis_share": 0.1,
        "training.updates": "sequential",
        "training.order": ["dis", "dis", "dec"],
    },
    "vaegan": {
        "options.game": "vaegan",
        "options.reduction": "mean",
        "options.gamma": 15.0,
        "options.encoder_weight": 5.0,
        "options.dis_batches": "separate",
        "options.statistics": "batch",
        "options.redraw": True,
        "network.options.momentum": 0.9,
        "network.options.init": "notebook-vaegan",
        "optimiser.rate": 3e-4,
        "dis_share": 0.1,
        "training.updates": "sequential",
        "training.order": ["dis", "dec", "enc"],
        "training.translate": 0.0,
        "training.translate_fill": 0.0,
    },
}
"""Three published results, every quirk in place. Figure 3b's VAE-GAN was trained on images that were not translated."""


@dataclass(frozen=True)
class Quirk:
    """One decision of the published code: what it does, where it occurs, and what fixes it.

    `without_effect` names the bases in which fixing it alone changes neither weights nor pictures, and says why. A
    quirk that is `shared` by the matched protocol is fixed alone only: it stays when all are fixed.
    """

    name: str
    about: str
    bases: tuple[str, ...]
    fixed: Settings
    without_effect: dict[str, str]
    shared: bool = False


def _quirk(
    name: str,
    about: str,
    bases: Iterable[str],
    fixed: Settings,
    without_effect: dict[str, str] | None = None,
    shared: bool = False,
) -> Quirk:
    return Quirk(
        name=name, about=about, bases=tuple(bases), fixed=fixed, without_effect=without_effect or {}, shared=shared
    )


_IDLE = "with the statistics of each batch, the running ones are never looked at"
QUIRKS: tuple[Quirk, ...] = (
    _quirk(
        "reduction",
        "Losses are means over pixels, features and latent dimensions instead of sums: in the VAE the KL weighs "
        "(pixels / latents) / 2 times as much as in the bound, 16 times at the paper's size.",
        ["vae-translated", "vaegan"],
        {"options.reduction": "sum"},
    ),
    _quirk(
        "weights",
        "Dec's reconstruction term is weighed by 15 and Enc's by 5; fixed, by 0.1 and 1, which suit sums.",
        ["vaegan"],
        {"options.gamma": 0.1, "options.encoder_weight": 1.0},
    ),
    _quirk(
        "fill",
        "Images are translated after scaling to [-1, 1] and filled with 0, mid-grey; fixed, with black, their "
        "background.",
        ["vae-translated", "vaegan"],
        {"training.translate_fill": -1.0},
        {"vaegan": "it was trained on images that were not translated"},
    ),
    _quirk(
        "loader",
        'The trainer ignores the images that it is given: the "translated" VAE-GAN was trained on untranslated ones.',
        ["vaegan"],
        {"training.translate": 0.1},
    ),
    _quirk(
        "sign",
        "The generator descends the cross entropy of being taken for fake: it learns to be recognised.",
        ["gan"],
        {"options.generator": "minimax"},
    ),
    _quirk(
        "rate",
        f"The generator's learning rate is 0.04, Dis's 0.004; fixed, {RATE:g} and a tenth of it.",
        ["gan"],
        {"optimiser.rate": RATE},
    ),
    _quirk(
        "dis_rate",
        "Dis learns at a tenth of the others' rate; fixed, at theirs.",
        ["gan", "vaegan"],
        {"dis_share": 1.0},
    ),
    _quirk(
        "updates",
        "Players move one after another and what they see is recomputed (the GAN's Dis twice an iteration); fixed, "
        "all move at once on one graph.",
        ["gan", "vaegan"],
        {"training.updates": "simultaneous", "training.order": None, "options.redraw": False},
    ),
    _quirk(
        "dis_batches",
        "Dis sees data, reconstructions and samples in separate batches, each with BatchNorm statistics of its own, as "
        "in the matched protocol; fixed, in one.",
        ["gan", "vaegan"],
        {"options.dis_batches": "joint"},
        shared=True,
    ),
    _quirk(
        "cross_entropy",
        "The cross entropy is taken of a rounded sigmoid, where a sure Dis leaves no gradient; fixed, of logits.",
        ["gan"],
        {"options.cross_entropy": "logits"},
    ),
    _quirk(
        "evaluation",
        "There is no evaluation mode: pictures are made with BatchNorm statistics of their own batch; fixed, with the "
        "running ones. It changes pictures and scores, and no weight.",
        ["vae-translated", "gan", "vaegan"],
        {"options.statistics": "running"},
    ),
    _quirk(
        "momentum",
        "BatchNorm's momentum is 0.9, so that its running statistics are all but those of the last batch; fixed, 0.1.",
        ["vae-translated", "gan", "vaegan"],
        {"network.options.momentum": 0.1},
        {"vae-translated": _IDLE, "gan": _IDLE, "vaegan": _IDLE},
    ),
    _quirk(
        "init",
        "Convolutions start from N(0, 0.02), linear layers as PyTorch has them, and the VAE-GAN's Dis altogether so; "
        "fixed, all start from N(0, 0.02).",
        ["vaegan"],
        {"network.options.init": "dcgan"},
    ),
)


def quirks_of(base: str) -> list[Quirk]:
    """The quirks of one of the three published results."""
    return [quirk for quirk in QUIRKS if base in quirk.bases]


def variants() -> dict[str, Override]:
    """Every variant of the attribution by its name: each base with one quirk fixed, with one kept, with none left.

    "as_published@gan-fix-sign" is the published GAN with its sign fixed, "as_published@gan-keep-sign" the fixed GAN
    with the published sign, "as_published@gan-fixed" has every quirk fixed that the matched protocol does not share.
    """
    found = {}
    for base in BASES:
        quirks = quirks_of(base)
        own = [quirk for quirk in quirks if not quirk.shared]
        for quirk in quirks:
            if base not in quirk.without_effect:
                found[f"{GAME}@{base}-fix-{quirk.name}"] = _override(base, [quirk])
            if not quirk.shared:
                found[f"{GAME}@{base}-keep-{quirk.name}"] = _override(base, [o for o in own if o is not quirk])
        found[f"{GAME}@{base}-fixed"] = _override(base, own)
    return found


def published(base: str) -> Override:
    """One of the three published results as it stands."""
    return _override(base, [])


def _override(base: str, fixed: list[Quirk]) -> Override:
    """A base's settings with those of the fixed quirks over them, as what a study lays over a run."""
    settings = {**BASES[base], **{field: value for quirk in fixed for field, value in quirk.fixed.items()}}
    share = settings.pop("dis_share", None)
    if share is not None:
        settings["optimiser.rates"] = {"dis": float(f"{settings['optimiser.rate'] * share:.12g}")}
    table: dict[str, dict[str, Any]] = {}
    for field, value in settings.items():
        if value is None:  # the order of updates that are simultaneous
            continue
        *path, last = field.split(".")
        under: dict[str, Any] = table
        for part in path:
            under = under.setdefault(part, {})
        under[last] = value
    return Override.model_validate(table)
