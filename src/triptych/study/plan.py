"""From a study to its runs, and how they will be computed, before anything runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from triptych import networks
from triptych.errors import InputError
from triptych.evaluation.scoring import metrics_of
from triptych.frameworks import framework_of
from triptych.plugins import find, is_outside, raised_at, suggest
from triptych.spec import ExecutionSpec, RunSpec, StudySpec, checked
from triptych.study.defaults import own_defaults, shared_parts, with_rate
from triptych.study.executors import Executor
from triptych.training import cost
from triptych.training.environment import available_cores, choose_device

_TORCH = str(Path(torch.__file__).parent)
_ENGINE = str(Path(cost.__file__).parent)
"""The folders of PyTorch and of the engine, which raise what a framework got wrong."""
PARTS = ("options", "network", "optimiser", "training")
_MISSING = object()


def runs_of(study: StudySpec) -> list[RunSpec]:
    """The ordinary runs of a study, by condition, then seed, then framework; raises InputError for what cannot be run.

    Verdicts, claims and reports are about these. `varied_runs` are further ones, in which one source varies alone.
    """
    unknown = set(study.override) - set(study.frameworks)
    if unknown:
        name = min(unknown)
        raise InputError(
            "overrides a framework that the study does not run",
            where=f"override.{name}",
            hint=suggest(name, study.frameworks),
        )
    return [
        _run(study, framework, seed, point)
        for point in study.conditions()
        for seed in study.seeds
        for framework in study.frameworks
    ]


def all_runs(study: StudySpec) -> list[RunSpec]:
    """The ordinary runs and after them the further ones."""
    return runs_of(study) + varied_runs(study)


def varied_runs(study: StudySpec) -> list[RunSpec]:
    """The further runs of a study that varies single sources of randomness: `groups` without the ordinary runs."""
    if not study.vary:
        return []
    varied = [
        run
        for point in study.conditions()
        for framework in study.frameworks
        for group in groups(study, framework, point).values()
        for run in group
        if run.seeds
    ]
    return list({run.id: run for run in varied}.values())


def groups(study: StudySpec, framework: str, point: dict[str, Any]) -> dict[str, list[RunSpec]]:
    """For each source that the study varies: its runs by seed, the others at the first seed; first, under "all", those
    in which all vary.

    The first run is the same in every group. Ordinary runs share one split of the data; where a study varies the split,
    those under "all" vary it, too.
    """
    runs = [_run(study, framework, seed, point) for seed in study.seeds]
    with_split = {run.seed: {"split": run.seed} if "split" in study.vary else {} for run in runs}
    return {
        "all": [runs[0], *(run.model_copy(update={"seeds": with_split[run.seed]}) for run in runs[1:])],
        **{
            source: [runs[0], *(runs[0].model_copy(update={"seeds": {source: run.seed}}) for run in runs[1:])]
            for source in study.vary
        },
    }


def validate(runs: list[RunSpec]) -> None:
    """Raise InputError now for whatever would stop a run later: options, networks, optimisers, players.

    A step of each kind of run is played on the meta device, so that weights that leave a player nothing to minimise
    are found too, and whatever the author of a framework got wrong.
    """
    for spec in {cost.kind(run): run for run in reversed(runs)}.values():
        try:
            # The data are not known yet: those that need labels get some.
            cost.flops_per_image(spec, spec.data.channels or 1, 2 if framework_of(spec).conditional else 0)
        except InputError:
            raise
        except Exception as error:
            raise _fault(spec, error) from error


def check_labels(runs: list[RunSpec], classes: int) -> None:
    """Raise InputError for a framework that needs labels where the data have none."""
    for name in dict.fromkeys(run.framework for run in runs if not classes and framework_of(run).conditional):
        raise InputError(
            "this framework needs labels, and the data have none",
            where="frameworks",
            value=name,
            hint="Sort the images into one folder per class, or leave this framework out.",
        )


def _fault(spec: RunSpec, error: Exception) -> InputError:
    """What the code of a framework or a network family raised, with the place in its file."""
    location = raised_at(error, _TORCH, _ENGINE)
    if type(error) is ValueError:  # what a framework says of its options; an author's own is to be found, too
        at = f" ({location})" if location and is_outside(spec.framework) else ""
        return InputError(str(error), where=f"options of {spec.framework}{at}")
    return InputError(
        f"the framework {spec.framework} raised {type(error).__name__}: {error}",
        where=location,
        hint=f"`triptych check {spec.base_framework}` tests it against the contract (docs/how-to/add-a-framework).",
    )


def _run(study: StudySpec, framework: str, seed: int, point: dict[str, Any]) -> RunSpec:
    """One run: what all share, the grid's point over it, the framework's preset over that, its override on top."""
    values = shared_parts(study)
    merge(values, own_defaults(framework, values))
    # An optimiser's name clears the options of the one before, so it is laid before any options.
    for key in sorted(point, key=lambda key: key != "optimiser.name"):
        merge(values, _nested(key, point[key]))
    merge(values, _preset(study, framework))
    if framework in study.override:
        merge(values, study.override[framework].model_dump())
    for key, value in point.items():
        if _field(values, key) != value:
            raise InputError(
                f"the grid varies what a preset or override of {framework} fixes",
                where=f"grid.{key}",
                hint="Vary another field, or leave that framework to a study of its own.",
            )
    run = {**values, "framework": framework, "seed": seed, "condition": point}
    return resolved(checked(RunSpec, run, f"run {framework}"))


def _field(values: dict[str, Any], key: str) -> Any:
    """The value of a dotted field of nested tables; _MISSING, which equals no value, where there is no such field."""
    table: Any = values
    for part in key.split("."):
        table = table.get(part, _MISSING) if isinstance(table, dict) else _MISSING
    return table


def resolved(spec: RunSpec) -> RunSpec:
    """The run with every option of its framework and its networks written out, so that it means the same when
    defaults change.
    """
    network_options = networks.options_of(spec.network).model_dump(mode="json")
    network = spec.network.model_copy(update={"options": network_options})
    options = framework_of(spec).options.model_dump(mode="json")
    return spec.model_copy(update={"options": options, "network": network})


def _nested(key: str, value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} from "a.b"; only what one run may have to itself can vary in a grid."""
    head, _, rest = key.partition(".")
    if head not in PARTS or not rest:
        raise InputError(
            "cannot vary in a grid",
            where=f"grid.{key}",
            hint=f'Give a dotted field of {", ".join(PARTS)}, such as "optimiser.rate".',
        )
    for part in reversed(rest.split(".")):
        value = {part: value}
    return {head: value}


def _preset(study: StudySpec, framework: str) -> dict[str, Any]:
    """What the preset after the "@" lays over a run: one of the framework's own, or one that the study defines."""
    base, at, preset = framework.partition("@")
    kind: Any = find("frameworks", base, where="frameworks")
    where = f"`presets` of {base}"
    presets = getattr(kind, "presets", {})  # what is no framework at all, `validate` refuses
    if not isinstance(presets, Mapping):
        raise InputError("must be a table of presets", where=where, value=presets)
    if not at or preset in presets:
        return with_rate(presets.get(preset, {}), f"{where}, {preset}")
    if framework in study.override:
        return {}
    raise InputError(
        f"unknown preset of {base}",
        where="frameworks",
        value=framework,
        hint=f'{suggest(preset, presets)} Or define it: [override."{framework}".options].',
    )


def merge(values: dict[str, Any], layer: dict[str, Any]) -> None:
    """Put some parts of a run over those in `values`, in place.

    An optimiser of another name brings its own options with it.
    """
    if _field(layer, "optimiser.name") not in (_MISSING, values["optimiser"]["name"]):
        values["optimiser"] = {**values["optimiser"], "options": {}}
    _merge_tables(values, layer)


def _merge_tables(under: dict[str, Any], over: dict[str, Any]) -> None:
    """Put the values of one nested table over those of another, in place."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _merge_tables(under[key], value)
        else:
            under[key] = copy.deepcopy(value)


@dataclass(frozen=True)
class ResolvedExecution:
    """How a study is computed, with the numbers of workers and threads filled in.

    `device` is what every run is given, and may be "auto"; `device_here` is what it means on this machine. `threads` is
    None where runs are computed elsewhere and the study names no number: each worker then takes the cores of its
    machine.
    """

    executor: Executor
    device: str
    device_here: str
    workers: int
    threads: int | None
    checkpoint_seconds: float


def resolve_execution(execution: ExecutionSpec, runs: int) -> ResolvedExecution:
    """Fill in the workers and threads that are left open.

    On a CPU: one worker per core, at most one per run, and the cores shared out among them; on a GPU one worker.
    Raises InputError for an unknown executor, and for a device that is missing where the runs would be computed, if
    that is this machine.
    """
    executor = find("executors", execution.executor, where="execution.executor")
    if isinstance(executor, type):
        raise InputError(
            "is a class, not an executor",
            where="execution.executor",
            value=execution.executor,
            hint=f"Name an instance of it, such as EXECUTOR = {executor.__name__}().",
        )
    if not isinstance(executor, Executor):
        raise InputError("is not an executor", where="execution.executor", value=execution.executor)
    device_here = choose_device(execution.device if executor.on_this_machine else "auto")
    cores = available_cores()
    workers = execution.workers or (min(cores, runs) if device_here == "cpu" else 1)
    return ResolvedExecution(
        executor=executor,
        device=execution.device,
        device_here=device_here,
        workers=workers,
        threads=execution.threads or (max(1, cores // workers) if executor.on_this_machine else None),
        checkpoint_seconds=execution.checkpoint_seconds,
    )


@dataclass(frozen=True)
class Plan:
    """What a study runs, and how; nothing is known of its data yet."""

    spec: StudySpec
    runs: list[RunSpec]
    execution: ResolvedExecution


def planned(spec: StudySpec) -> Plan:
    """The plan of a study; raises InputError for what cannot be run, whatever the data are."""
    runs = all_runs(spec)
    validate(runs)
    metrics_of(spec.scoring)
    return Plan(spec=spec, runs=runs, execution=resolve_execution(spec.execution, len(runs)))
