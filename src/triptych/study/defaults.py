"""The values of a run before anything of its own: what a study's frameworks share, and a framework's own defaults."""

from __future__ import annotations

import json
from typing import Any

from triptych.errors import InputError
from triptych.plugins import find, suggest
from triptych.spec import NetworkSpec, OptimiserSpec, RunSpec, StudySpec, TrainingSpec, rename_learning_rate

_SPECS: dict[str, type[NetworkSpec] | type[OptimiserSpec] | type[TrainingSpec]] = {
    "network": NetworkSpec,
    "optimiser": OptimiserSpec,
    "training": TrainingSpec,
}


def shared_parts(study: StudySpec) -> dict[str, Any]:
    """The parts of a run that all frameworks of a study share, before anything of their own is laid over them."""
    parts = {part: getattr(study, part).model_dump() for part in ("data", "network", "optimiser", "training")}
    return {**parts, "options": {}}


def with_rate(parts: Any, where: str) -> dict[str, Any]:
    """The parts of a run that the author of a framework wrote, with the learning rate under its one name.

    Raises InputError, with `where`, for what is no table of tables.
    """
    if not isinstance(parts, dict):
        raise InputError("must be a table of parts of a run", where=where, value=parts)
    for part, table in parts.items():
        if not isinstance(table, dict):
            raise InputError("must be a table of fields", where=f"{where}, {part}", value=table)
    try:
        return {name: rename_learning_rate(part) if name == "optimiser" else part for name, part in parts.items()}
    except ValueError as error:
        raise InputError(str(error), where=where) from None


def own_defaults(framework: str, values: dict[str, Any]) -> dict[str, Any]:
    """The framework's own defaults, for the fields where the study has the project's default.

    Raises InputError for defaults that are no tables of fields that a run has.
    """
    kind: Any = find("frameworks", framework.partition("@")[0], where="frameworks")
    where = f"`defaults` of {framework}"
    declared = with_rate(getattr(kind, "defaults", {}), where)  # `validate` refuses what is no framework
    chosen: dict[str, Any] = {}
    for part, table in declared.items():
        if part not in _SPECS:
            raise InputError("no such part of a run", where=where, value=part, hint=suggest(part, _SPECS))
        project = _project(part)
        for key in table:
            if key not in project:
                raise InputError("no such field", where=f"{where}, {part}", value=key, hint=suggest(key, project))
        # Some fields are left out of `values` while they have the project's default.
        chosen[part] = {
            key: value for key, value in table.items() if values[part].get(key, project[key]) == project[key]
        }
    return chosen


def _project(part: str) -> dict[str, Any]:
    """The project's defaults of one part of a run, all fields of it."""
    spec = _SPECS[part]()
    return {key: getattr(spec, key) for key in _SPECS[part].model_fields}


def replaced_by_defaults(study: StudySpec, runs: list[RunSpec]) -> list[str]:
    """One line per framework whose own defaults replace the project's in this study: the study does not show them.

    What the grid, a preset or an override decides instead is left out. `runs` are the study's.
    """
    shared, lines = shared_parts(study), []
    for framework in study.frameworks:
        run = next(run for run in runs if run.framework == framework).model_dump(mode="json")
        replaced = []
        for part, table in own_defaults(framework, shared).items():
            for key, value in _plain(table).items():
                field, project = f"{part}.{key}", _plain(_project(part)[key])
                varied = any(name == field or name.startswith(f"{field}.") for name in study.grid)
                if value != project and not varied and _holds(run[part].get(key, project), value):
                    replaced.append(f"{field} = {json.dumps(value)} instead of {json.dumps(project)}")
        if replaced:
            lines.append(
                f"{framework} has its own defaults: {', '.join(replaced)}. "
                f'To use other values, set them in [override."{framework}"].'
            )
    return lines


def _plain(value: Any) -> Any:
    """A value as JSON has it, so that a tuple equals a list."""
    return json.loads(json.dumps(value, default=str))


def _holds(final: Any, value: Any) -> bool:
    """Whether a run has this value; of a table, whether it has all its entries."""
    return value.items() <= final.items() if isinstance(value, dict) and isinstance(final, dict) else final == value
