"""What a study will cost once its data are known: FLOPs and bytes are counted, the time is measured on a few steps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch

from triptych.data import sources
from triptych.data.dataset import RESIDENT_BYTES
from triptych.data.prepare import channels_of
from triptych.evaluation.scoring import Row, planned_outputs
from triptych.rng import stream
from triptych.spec import RunSpec, StudySpec
from triptych.study.plan import Plan, ResolvedExecution, check_labels, planned
from triptych.training.cost import Cost, costs
from triptych.training.state import initial
from triptych.training.step import Diverged, Examples, batches_per_step, step


@dataclass(frozen=True)
class DataFacts:
    """What costs depend on of the data: channels, classes (0 without labels), and bytes on disk once prepared."""

    channels: int
    classes: int
    size: int


@dataclass(frozen=True)
class CostedPlan(Plan):
    """A plan whose data are known, and so what each run costs, by its id."""

    facts: DataFacts
    costs: dict[str, Cost]

    @property
    def outputs(self) -> list[Row]:
        """The outputs of the metrics that its runs are scored by, as far as they are known before the data are read."""
        return planned_outputs(self.spec.scoring)

    def estimate(self, runs: list[RunSpec] | None = None) -> Estimate:
        """What some of its runs will take, or all: counted, but for the time, which a few steps of some of them tell.

        Runs that differ in options alone, of the framework or the optimiser, are as fast as their FLOPs say.
        """
        runs = self.runs if runs is None else runs
        paces: dict[str, float] = {}
        seconds = 0.0
        for run in runs:
            key = json.dumps(
                [run.data.size, run.network.model_dump(mode="json"), run.training.batch_size, run.base_framework]
            )
            flops = self.costs[run.id].flops_per_image
            if key not in paces:
                paces[key] = seconds_per_image(run, self.facts, self.execution, flops) / max(flops, 1)
            seconds += self.costs[run.id].images * max(flops, 1) * paces[key] / self.execution.workers
        return Estimate(
            flops=sum(self.costs[run.id].flops for run in runs),
            seconds=seconds,
            memory_bytes=self._memory_bytes(runs),
            disk_bytes=self._disk_bytes(runs),
        )

    def _memory_bytes(self, runs: list[RunSpec]) -> int:
        """For each worker: PyTorch; weights, gradients and two moments; the images, unless they stay in a memory map;
        and at the end real images, samples and reconstructions in float32.
        """
        largest = max(self.costs[run.id].weight_bytes for run in runs)
        held = self.facts.size if self.facts.size <= RESIDENT_BYTES else 0
        scored = 3 * 4 * self.spec.scoring.images * self.facts.channels * runs[0].data.size ** 2
        return self.execution.workers * (600 * 2**20 + held + max(4 * largest, largest + scored))

    def _disk_bytes(self, runs: list[RunSpec]) -> int:
        """The images, the weights that are kept, and for each worker two checkpoints of all but gradients."""
        largest = max(self.costs[run.id].weight_bytes for run in runs)
        kept = sum((1 + run.training.snapshots) * self.costs[run.id].weight_bytes for run in runs)
        return kept + self.execution.workers * 6 * largest + self.facts.size


def costed(plan: Plan, facts: DataFacts) -> CostedPlan:
    """The plan with what its runs cost on these data; raises InputError for a framework that needs labels they lack."""
    check_labels(plan.runs, facts.classes)
    return CostedPlan(
        spec=plan.spec,
        runs=plan.runs,
        execution=plan.execution,
        facts=facts,
        costs=costs(plan.runs, facts.channels, facts.classes),
    )


def preview(spec: StudySpec) -> CostedPlan:
    """All that can be said of a study without writing anything; raises InputError for what cannot be run."""
    plan = planned(spec)
    raw = sources.load(spec.data)
    channels, _ = channels_of(spec.data, raw)
    pixel = 2 if spec.data.dequantise else 1  # bytes
    size = sum(map(len, raw.splits().values())) * channels * spec.data.size**2 * pixel
    return costed(plan, DataFacts(channels=channels, classes=len(raw.label_names or ()), size=size))


@dataclass(frozen=True)
class Estimate:
    """What a study will take: counted FLOPs and bytes, and a time extrapolated from a few measured steps."""

    flops: int
    seconds: float
    memory_bytes: int
    disk_bytes: int


def seconds_per_image(spec: RunSpec, facts: DataFacts, execution: ResolvedExecution, flops_per_image: int) -> float:
    """Time one step on noise, after one to warm up; of a smaller batch where a whole one would take long."""
    with _threads(execution.threads):
        batch = max(2, min(spec.training.batch_size, int(2e11 // max(flops_per_image, 1))))
        device = execution.device_here
        state = initial(spec, facts.channels, device, facts.classes)
        shape = (batch, facts.channels, spec.data.size, spec.data.size)
        x = torch.rand(shape, generator=stream(0, "estimate")).mul(2).sub(1).to(device)
        labels = torch.zeros(batch, dtype=torch.int64, device=device) if facts.classes else None
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


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Let PyTorch compute in so many threads in the block; None leaves their number as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
