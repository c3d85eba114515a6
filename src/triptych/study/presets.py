"""The scales at which the same study can be run, the study that `triptych compare` writes, and one from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych.data.sources import guess_source, path_is_file
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
    load_study,
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
    vary: Sequence[str] = (),
    **fields: Any,
) -> StudySpec:
    """The study behind `triptych compare`: a preset, and over it what was asked for.

    `data` and `frameworks` are what they are on the command line; the latter may be a list, too. `fields` are single
    fields of the study's parts by their own names (`size`, `channels`, `fit`, `broken`; `width`, `latent`; `rate`, or
    `learning_rate`; `images`, `batch_size`; `metrics`, `features`; `device`, `workers`,
    `threads`); None leaves the default. `vary` names sources of randomness that also vary alone (`StudySpec`).
    Raises InputError for an unknown preset, data set or field.
    """
    if preset not in PRESETS:
        raise InputError("unknown preset", where="--preset", value=preset, hint=suggest(preset, PRESETS))
    source, path = guess_source(str(data))
    names = [part.strip() for part in frameworks.split(",")] if isinstance(frameworks, str) else list(frameworks)
    name = f"{Path(path).resolve().stem if path else source.replace(':', '-')}-{preset}"
    values: dict[str, Any] = {"name": name, "frameworks": names, "seeds": seeds, "vary": list(vary)}
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


def from_file(
    path: Path, device: str | None = None, workers: int | None = None, threads: int | None = None
) -> StudySpec:
    """A study from its file, paths in it taken from where the file lies, execution as asked for here."""
    study = load_study(path)
    own = {"device": device, "workers": workers, "threads": threads}
    execution = study.execution.model_copy(update={key: value for key, value in own.items() if value is not None})
    data = study.data
    known = "source" in data.model_fields_set
    if data.path is not None and not (known and not path_is_file(data.source)):
        absolute = str((path.parent / data.path).resolve())
        source = data.source if known else guess_source(absolute)[0]
        data = data.model_copy(update={"path": absolute, "source": source})
    return study.model_copy(update={"execution": execution, "data": data})
