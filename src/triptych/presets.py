"""The scales at which the same study can be run, and the study that `triptych compare` writes."""

from __future__ import annotations

from typing import Any

from triptych.errors import InputError
from triptych.lookup import suggest
from triptych.spec import StudySpec, checked

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"data": {"size": 32}, "network": {"width": 0.125}, "training": {"images": 60_000}},
    "small": {"data": {"size": 32}, "network": {"width": 0.25}, "training": {"images": 60_000}},
    "paper": {"data": {"size": 64}, "network": {"width": 1.0}, "training": {"images": 60_000}},
}
"""`paper` is the paper's networks, size and budget (an epoch of MNIST); `small` a quarter of the width at 32 pixels;
`quick` an eighth, for a first answer."""

MATCHED: dict[str, Any] = {"optimiser": {"name": "Adam", "rate": 0.001, "options": {"betas": [0.5, 0.999]}}}
"""One optimiser setting for every framework; docs/reference/defaults.md says how it was chosen."""


def comparison(preset: str, frameworks: list[str], seeds: int, **own: dict[str, Any]) -> StudySpec:
    """The study behind `triptych compare`: a preset, the matched defaults, and what the user asked for over them."""
    if preset not in PRESETS:
        raise InputError("unknown preset", where="--preset", value=preset, mend=suggest(preset, PRESETS))
    values: dict[str, Any] = {"name": own.pop("name", "comparison"), "frameworks": frameworks, "seeds": seeds}
    for layer in (MATCHED, PRESETS[preset], own):
        for part, table in layer.items():
            values[part] = {**values.get(part, {}), **{key: v for key, v in table.items() if v is not None}}
    return checked(StudySpec, values, "the comparison asked for")
