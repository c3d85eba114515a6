"""The scales at which the same study can be run, and the study that `triptych compare` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych.data.sources import guess_source
from triptych.errors import InputError
from triptych.plugins import suggest
from triptych.spec import (
    DataSpec,
    ExecutionSpec,
    NetworkSpec,
    OptimiserSpec,
    StudySpec,
    TrainingSpec,
    checked,
)

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"data": {"size": 32}, "network": {"width": 0.125}, "training": {"images": 60_000}},
    "small": {"data": {"size": 32}, "network": {"width": 0.25}, "training": {"images": 60_000}},
    "paper": {"data": {"size": 64}, "network": {"width": 1.0}, "training": {"images": 60_000}},
}
"""`paper` is the paper's networks, size and budget (an epoch of MNIST); `small` a quarter of the width at 32 pixels;
`quick` an eighth, for a first answer."""

HOMES: dict[str, str] = {
    field: part
    for part, kind in (
        ("data", DataSpec),
        ("network", NetworkSpec),
        ("optimiser", OptimiserSpec),
        ("training", TrainingSpec),
        ("execution", ExecutionSpec),
    )
    for field in kind.model_fields
    if field not in ("source", "path", "name", "options")
} | {"metrics": "scoring", "features": "scoring", "learning_rate": "optimiser"}
"""Which part of a study each single field belongs to."""


def comparison(
    data: str = "mnist",
    frameworks: Sequence[str] | str = ("vae", "gan", "vaegan"),
    seeds: int | str = 3,
    preset: str = "quick",
    *,
    optimiser: str | None = None,
    **fields: Any,
) -> StudySpec:
    """The study behind `triptych compare`: a preset, and over it what was asked for.

    `data` and `frameworks` are what they are on the command line; the latter may be a list, too. `fields` are single
    fields of the study's parts by their own names (`size`, `channels`, `fit`, `broken`; `width`, `latent`; `rate`, or
    `learning_rate`; `images`, `batch_size`; `metrics`, `features`; `device`, `workers`,
    `threads`); None leaves the default. Raises InputError for an unknown preset, data set or field.
    """
    if preset not in PRESETS:
        raise InputError("unknown preset", where="--preset", value=preset, hint=suggest(preset, PRESETS))
    source, path = guess_source(str(data))
    names = [part.strip() for part in frameworks.split(",")] if isinstance(frameworks, str) else list(frameworks)
    name = f"{Path(path).resolve().stem if path else source.replace(':', '-')}-{preset}"
    values: dict[str, Any] = {"name": name, "frameworks": names, "seeds": seeds}
    own: dict[str, dict[str, Any]] = {"data": {"source": source, "path": path and str(Path(path).resolve())}}
    if optimiser is not None:
        own["optimiser"] = {"name": optimiser}
    for field, value in fields.items():
        if field not in HOMES:
            raise InputError("unknown field", where="comparison", value=field, hint=suggest(field, HOMES))
        own.setdefault(HOMES[field], {})[field] = value
    for layer in (PRESETS[preset], own):
        for part, table in layer.items():
            values[part] = {**values.get(part, {}), **{key: v for key, v in table.items() if v is not None}}
    return checked(StudySpec, values, "the comparison asked for")
