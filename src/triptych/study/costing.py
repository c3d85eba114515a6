"""What a study will cost once its data are known: FLOPs and bytes are counted, the time follows from measured paces."""

from __future__ import annotations

import hashlib
import heapq
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from triptych import store
from triptych.data import sources
from triptych.data.dataset import RESIDENT_BYTES
from triptych.data.prepare import channels_of, counts_of, resize
from triptych.data.sources import Raw
from triptych.directory import paces_file
from triptych.evaluation.features import Extractor
from triptych.evaluation.scoring import Row, planned_outputs
from triptych.spec import DataSpec, RunSpec, StudySpec
from triptych.study.calibration import Calibration, Clock, DataFacts, Paces, pace_of
from triptych.study.plan import Plan, check_labels, planned
from triptych.training.cost import Cost, costs
from triptych.training.environment import environment

TRIED = 200
"""Images that are read and resized to see how long preparing all of them takes."""


class RunTime(NamedTuple):
    """Seconds of training and of scoring one run, while nothing else is computed."""

    training: float
    scoring: float


@dataclass(frozen=True)
class Estimate:
    """What a study will take: counted FLOPs and bytes, and seconds that follow from measured paces.

    `seconds` is the time from the start to the last score; `training` and `scoring` are of all runs together, `once` of
    what is done once for all of them, `shared` of that for their scores. The report is not in it. `unknown` names the
    scores that are not counted, `bf16_gain` how many times as fast training would be in bf16.
    """

    flops: int
    seconds: float
    training: float
    scoring: float
    once: float
    shared: float
    runs: dict[str, RunTime]
    unknown: dict[str, str]
    bf16_gain: float | None
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class CostedPlan(Plan):
    """A plan whose data are known, and so what each run costs, by its id."""

    facts: DataFacts
    costs: dict[str, Cost]
    preparing: float
    """Seconds that preparing the data will take, if that is still to be done."""

    @property
    def outputs(self) -> list[Row]:
        """The outputs of the metrics that its runs are scored by, as far as they are known before the data are read."""
        return planned_outputs(self.spec.scoring)

    def flops(self, runs: Sequence[RunSpec] | None = None) -> int:
        """The FLOPs of training some of its runs, or all."""
        return sum(self.costs[run.id].flops for run in (self.runs if runs is None else runs))

    def paces(self, clock: Clock = time.perf_counter, extractors: Sequence[Extractor] | None = None) -> Paces:
        """The paces of its runs on this machine, measured."""
        execution = self.execution
        calibration = Calibration(self.spec, self.facts, execution.device_here, execution.threads, extractors, clock)
        return calibration.paces(self.runs, {run.id: self.costs[run.id].flops_per_image for run in self.runs})

    def estimate(self, runs: Sequence[RunSpec] | None = None, paces: Paces | None = None) -> Estimate:
        """What some of its runs will take, or all, at these paces; they are measured if they are not given."""
        runs, paces = self.runs if runs is None else runs, paces or self.paces()
        times = {run.id: self._time(run, paces) for run in runs}
        return Estimate(
            flops=self.flops(runs),
            seconds=self.preparing + paces.fitting + self._makespan(list(times.values()), paces),
            training=sum(each.training for each in times.values()),
            scoring=sum(each.scoring for each in times.values()),
            once=self.preparing + paces.fitting + paces.start + paces.shared,
            shared=paces.shared,
            runs=times,
            unknown=paces.unknown,
            bf16_gain=paces.bf16_gain,
            memory_bytes=self._memory_bytes(list(runs)),
            disk_bytes=self._disk_bytes(list(runs)),
        )

    def _time(self, run: RunSpec, paces: Paces) -> RunTime:
        pace = pace_of(run)
        return RunTime(self.costs[run.id].flops * paces.flop[pace], paces.scoring[pace])

    def _makespan(self, times: list[RunTime], paces: Paces) -> float:
        """The seconds until the last of the runs is scored, the longest begun first (`runner.compute`)."""
        workers = max(1, min(self.execution.workers, len(times)))
        ends = [paces.start + paces.shared / min(workers, 2)] * workers  # one computes each of the two baselines
        for seconds in sorted(map(sum, times), reverse=True):
            heapq.heappush(ends, heapq.heappop(ends) + seconds)
        return max(ends)

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


def kept_paces(study: CostedPlan, folder: Path, extractors: Sequence[Extractor], note: Callable[[str], None]) -> Paces:
    """The paces of a study's runs, from `folder` if they were measured before in this environment.

    `note` is called when they have to be measured.
    """
    key = [
        environment(study.execution.device_here),
        study.execution.threads,
        asdict(study.facts),
        study.spec.scoring.model_dump(mode="json"),
        sorted({pace_of(run) for run in study.runs}),
    ]
    path = folder / paces_file(hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16])
    try:
        return Paces(**store.read_json(path))
    except (OSError, ValueError, TypeError):  # not there, or damaged
        note("Timing training steps and every metric on noise, to say how long it will take ...")
        paces = study.paces(extractors=extractors)
        store.write(path, store.to_json(asdict(paces)))
        return paces


def costed(plan: Plan, facts: DataFacts, preparing: float) -> CostedPlan:
    """The plan with what its runs cost on these data; raises InputError for a framework that needs labels they lack."""
    check_labels(plan.runs, facts.classes)
    return CostedPlan(
        spec=plan.spec,
        runs=plan.runs,
        execution=plan.execution,
        facts=facts,
        costs=costs(plan.runs, facts.channels, facts.classes),
        preparing=preparing,
    )


def preview(spec: StudySpec) -> CostedPlan:
    """All that can be said of a study without writing anything; raises InputError for what cannot be run."""
    plan = planned(spec)
    raw = sources.load(spec.data)
    channels, _ = channels_of(spec.data, raw)
    counts = counts_of(raw, spec.data.path or spec.data.source)
    pixel = 2 if spec.data.dequantise else 1  # bytes
    size = sum(counts.values()) * channels * spec.data.size**2 * pixel
    facts = DataFacts(channels=channels, classes=len(raw.label_names or ()), size=size, counts=counts)
    return costed(plan, facts, _preparing(raw, spec.data, channels))


def _preparing(raw: Raw, spec: DataSpec, channels: int) -> float:
    """Seconds that reading and resizing all images will take, by those of a few."""
    total, tried = sum(map(len, raw.splits().values())), min(TRIED, len(raw.train))
    start = time.perf_counter()
    for batch in raw.train.read(np.arange(tried)):
        resize(batch, spec.size, channels, spec.fit)
    return (time.perf_counter() - start) * total / max(tried, 1)
