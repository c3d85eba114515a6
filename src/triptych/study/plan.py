"""From a study to its runs, and what they will cost, before anything runs."""

from __future__ import annotations

import copy
import json
import os
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from triptych import networks
from triptych.data import sources
from triptych.data.dataset import RESIDENT_BYTES
from triptych.data.prepare import channels_of
from triptych.errors import InputError
from triptych.evaluation.scoring import metrics_of
from triptych.frameworks import framework_of
from triptych.plugins import find, is_outside, suggest
from triptych.rng import stream
from triptych.spec import ExecutionSpec, RunSpec, StudySpec, checked
from triptych.study.defaults import own_defaults, shared_parts, with_rate
from triptych.study.executors import Executor
from triptych.training import cost
from triptych.training.cost import Cost, costs
from triptych.training.environment import choose_device
from triptych.training.state import initial
from triptych.training.step import Diverged, Examples, batches_per_step, step

_TORCH = str(Path(torch.__file__).parent)
_ENGINE = str(Path(cost.__file__).parent)
"""The folders of PyTorch and of the engine, which raise what a framework got wrong."""
PARTS = ("options", "network", "optimiser", "training")
_MISSING = object()


def runs_of(study: StudySpec) -> list[RunSpec]:
    """Every run of a study, by condition, then seed, then framework; raises InputError for what cannot be run."""
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
    location = next(
        (
            f"{frame.filename}, line {frame.lineno}"
            for frame in reversed(traceback.extract_tb(error.__traceback__))
            if not frame.filename.startswith((_TORCH, _ENGINE, "<"))
        ),
        "",
    )
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
    presets = getattr(kind, "presets", {})  # what is no framework at all, `validate` refuses
    if not at or preset in presets:
        return with_rate(presets.get(preset, {}))
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

    `device` is what every run is given, and may be "auto"; `device_here` is what it means on this machine.
    """

    executor: Executor
    device: str
    device_here: str
    workers: int
    threads: int
    checkpoint_seconds: float


def resolve_execution(execution: ExecutionSpec, runs: int) -> ResolvedExecution:
    """Fill in the workers and threads that are left open.

    On a CPU: one worker per core, at most one per run, and the cores shared out among them; on a GPU one worker.
    Raises InputError for an unknown executor, and for a device that is missing where the runs would be computed, if
    that is this machine.
    """
    executor = find("executors", execution.executor, where="execution.executor")
    if not isinstance(executor, Executor):
        raise InputError("is not an executor", where="execution.executor", value=execution.executor)
    device_here = choose_device(execution.device if executor.on_this_machine else "auto")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = execution.workers or (min(cores, runs) if device_here == "cpu" else 1)
    return ResolvedExecution(
        executor=executor,
        device=execution.device,
        device_here=device_here,
        workers=workers,
        threads=execution.threads or max(1, cores // workers),
        checkpoint_seconds=execution.checkpoint_seconds,
    )


@dataclass(frozen=True)
class Preview:
    """A study of which nothing is on disk yet: its runs, how they will be computed, and what each costs."""

    runs: list[RunSpec]
    execution: ResolvedExecution
    costs: dict[str, Cost]
    channels: int
    classes: int
    data_bytes: int
    scored_images: int

    def estimate(self, runs: list[RunSpec] | None = None) -> Estimate:
        """What some of its runs will take, or all."""
        chosen = self.runs if runs is None else runs
        return estimate(
            chosen, self.costs, self.channels, self.classes, self.execution, self.data_bytes, self.scored_images
        )


def preview(spec: StudySpec) -> Preview:
    """All that can be said of a study without writing anything; raises InputError for what cannot be run."""
    runs = runs_of(spec)
    validate(runs)
    metrics_of(spec.scoring)
    execution = resolve_execution(spec.execution, len(runs))
    raw = sources.load(spec.data)
    channels, _ = channels_of(spec.data, raw)
    classes = len(raw.label_names or ())
    check_labels(runs, classes)
    size = sum(map(len, raw.splits().values())) * channels * spec.data.size**2
    return Preview(
        runs=runs,
        execution=execution,
        costs=costs(runs, channels, classes),
        channels=channels,
        classes=classes,
        data_bytes=size,
        scored_images=spec.scoring.images,
    )


@dataclass(frozen=True)
class Estimate:
    """What a study will take: counted FLOPs and bytes, and a time extrapolated from a few measured steps."""

    flops: int
    seconds: float
    memory_bytes: int
    disk_bytes: int


def estimate(
    runs: list[RunSpec],
    costs: dict[str, Cost],
    channels: int,
    classes: int,
    execution: ResolvedExecution,
    data_bytes: int,
    scored_images: int,
) -> Estimate:
    """Add up what the runs cost, and time a few steps of some of them to say how long all will take.

    Runs that differ in options alone, of the framework or the optimiser, are as fast as their FLOPs say.
    """
    paces: dict[str, float] = {}
    seconds = 0.0
    for run in runs:
        key = json.dumps(
            [run.data.size, run.network.model_dump(mode="json"), run.training.batch_size, run.base_framework]
        )
        flops = costs[run.id].flops_per_image
        if key not in paces:
            paces[key] = seconds_per_image(run, channels, classes, execution, flops) / max(flops, 1)
        seconds += costs[run.id].images * max(flops, 1) * paces[key] / execution.workers
    counted = [costs[run.id] for run in runs]
    largest = max(each.weight_bytes for each in counted)
    # For each worker: PyTorch; weights, gradients and two moments; the images, unless they stay in a memory map; and
    # at the end real images, samples and reconstructions in float32. On disk, two generations of all but gradients.
    held = data_bytes if data_bytes <= RESIDENT_BYTES else 0
    scored = 3 * 4 * scored_images * channels * runs[0].data.size ** 2
    memory = execution.workers * (600 * 2**20 + held + max(4 * largest, largest + scored))
    kept = sum((1 + run.training.snapshots) * costs[run.id].weight_bytes for run in runs)
    disk = kept + execution.workers * 6 * largest + data_bytes
    return Estimate(flops=sum(each.flops for each in counted), seconds=seconds, memory_bytes=memory, disk_bytes=disk)


def seconds_per_image(
    spec: RunSpec, channels: int, classes: int, execution: ResolvedExecution, flops_per_image: int
) -> float:
    """Time one step on noise, after one to warm up; of a smaller batch where a whole one would take long."""
    before = torch.get_num_threads()
    torch.set_num_threads(execution.threads)
    try:
        batch = max(2, min(spec.training.batch_size, int(2e11 // max(flops_per_image, 1))))
        device = execution.device_here
        state = initial(spec, channels, device, classes)
        shape = (batch, channels, spec.data.size, spec.data.size)
        x = torch.rand(shape, generator=stream(0, "estimate")).mul(2).sub(1).to(device)
        labels = torch.zeros(batch, dtype=torch.int64, device=device) if classes else None
        batches = batches_per_step(state.framework)
        examples = [Examples(x, labels)] * batches
        with suppress(Diverged):  # that is for the run to find
            step(state, spec, examples, 0.0)
        repeats = 1 if flops_per_image * batch > 2e10 else 4
        start = time.perf_counter()
        for _ in range(repeats):
            with suppress(Diverged):
                step(state, spec, examples, 0.0)
        return (time.perf_counter() - start) / repeats / batch / batches
    finally:
        torch.set_num_threads(before)
