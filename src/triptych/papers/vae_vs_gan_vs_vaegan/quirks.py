"""The published protocol's quirks, one by one (`quirks.toml`): what each does, and what fixing it changes.

Three of the paper's results are taken apart: the VAE trained on translated images (Figure 2b), the GAN that was
difficult to train (section 4.5) and the VAE-GAN that translation seemed not to hurt (Figure 3b). From each, one quirk
at a time is fixed, and all but one.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.spec import Override

GAME = "as_published"
Settings = dict[str, Any]
"""Dotted fields of a run and their values; "dis_share" is Dis's rate as a share of the others'."""


@dataclass(frozen=True)
class Quirk:
    """One decision of the published code, as quirks.toml has it: what it does, in which results, and what fixes it."""

    name: str
    about: str
    bases: list[str]
    fixed: Settings
    without_effect: dict[str, str] = field(default_factory=dict)
    shared: bool = False


_FILE: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
BASES: dict[str, Settings] = _FILE["bases"]
QUIRKS = tuple(Quirk(**table) for table in _FILE["quirks"])


def quirks_of(base: str) -> list[Quirk]:
    """The quirks of one of the three published results."""
    return [quirk for quirk in QUIRKS if base in quirk.bases]


def variants() -> dict[str, Override]:
    """Every variant of the ablation by its name: each base with one quirk fixed, with one kept, with none left.

    "as_published@gan-fix-sign" is the published GAN with its sign fixed, "as_published@gan-keep-sign" the fixed GAN
    with the published sign, "as_published@gan-fixed" has every quirk fixed that the matched protocol does not share.
    """
    found = {}
    for base in BASES:
        quirks = quirks_of(base)
        own = [quirk for quirk in quirks if not quirk.shared]
        for quirk in quirks:
            if base not in quirk.without_effect:
                found[f"{GAME}@{base}-fix-{quirk.name}"] = override(base, [quirk])
            if not quirk.shared:
                found[f"{GAME}@{base}-keep-{quirk.name}"] = override(base, [o for o in own if o is not quirk])
        found[f"{GAME}@{base}-fixed"] = override(base, own)
    return found


def override(base: str, fixed: list[Quirk]) -> Override:
    """A base's settings with those of the fixed quirks over them, as what a study lays over a run."""
    settings = {**BASES[base], **{field: value for quirk in fixed for field, value in quirk.fixed.items()}}
    if settings.get("training.updates") == "simultaneous":
        settings.pop("training.order")  # it means nothing for simultaneous updates
    share = settings.pop("dis_share", None)
    if share is not None:
        settings["optimiser.rates"] = {"dis": float(f"{settings['optimiser.rate'] * share:.12g}")}
    table: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        *path, last = name.split(".")
        under: dict[str, Any] = table
        for part in path:
            under = under.setdefault(part, {})
        under[last] = value
    return Override.model_validate(table)
