"""How fast this machine does what a study takes, measured on noise before any run: in about ten seconds
of a free core for three small frameworks.

Measured are: training steps of each framework, what its networks and the feature extractors take per batch, each
metric's own time on few images, and the start of a worker. Nothing here knows a pace beforehand.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from triptych.data.dataset import Dataset, Split, to_uint8
from triptych.errors import InputError
from triptych.evaluation import features
from triptych.evaluation.features import BATCH, Extractor
from triptych.evaluation.observations import Observations
from triptych.evaluation.pricing import Prices
from triptych.evaluation.scoring import metrics_of, observe_networks
from triptych.evaluation.standin import Shape
from triptych.evaluation.untrained import Untrained
from triptych.rng import stream
from triptych.spec import RunSpec, StudySpec
from triptych.study import worker
from triptych.training.precision import train_in
from triptych.training.state import State, initial, is_finite
from triptych.training.step import Diverged, Examples, batches_per_step, step

STEP_FLOPS = 1e11
"""A batch whose step takes more is made smaller: seconds on a core, where a step of the paper's takes 1e12."""
STEP_SECONDS, STEPS = 0.5, 3
"""Steps are timed for so long, and at least so many unless one takes longer than that."""
NOISE = {"train": 300, "validation": 50, "test": 50}
"""Images of noise, to which a feature extractor is fitted where the study's own are not there yet."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class DataFacts:
    """What costs depend on of the data: channels, classes (0 without labels), images by split, and bytes on disk once
    prepared.
    """

    channels: int
    classes: int
    size: int
    counts: dict[str, int]


@dataclass(frozen=True)
class Paces:
    """What was measured, in seconds: for each kind of run (`pace_of`) a training FLOP and the scoring of a run; what a
    study pays once for its runs' scores, and for what is fitted to its data; the start of a worker.

    `unknown` says which scores are not counted, and why. `bf16_gain` is how many times as fast the dearest training
    step would be in bf16; None if it is in bf16.
    """

    flop: dict[str, float]
    scoring: dict[str, float]
    shared: float
    fitting: float
    start: float
    unknown: dict[str, str] = field(default_factory=dict)
    bf16_gain: float | None = None


def pace_of(run: RunSpec) -> str:
    """What decides how fast a run's FLOPs are, as a key: runs that differ in other options have the same pace."""
    training = [run.training.batch_size, run.training.precision]
    return json.dumps([run.data.size, run.network.model_dump(mode="json"), *training, run.base_framework])


@dataclass
class Calibration:
    """What `paces` measures, and on which device. `extractors` are the study's, None where they are still to be made.

    `clock` is in seconds; for a report of processor time, it is another one.
    """

    spec: StudySpec
    facts: DataFacts
    device: str
    threads: int | None
    extractors: Sequence[Extractor] | None = None
    clock: Clock = time.perf_counter

    def paces(self, runs: Sequence[RunSpec], flops: Mapping[str, int]) -> Paces:
        """The paces of these runs, whose training FLOPs per image are `flops`, by id."""
        with _threads(self.threads):
            unknown: dict[str, str] = {}
            extractors, fitting = self._on_noise(unknown) if self.extractors is None else (self.extractors, 0.0)
            prices = self._prices(runs, extractors) if extractors else None
            steps: dict[str, float] = {}
            scoring: dict[str, float] = {}
            for pace, run in {pace_of(run): run for run in reversed(runs)}.items():
                state = initial(run, self.facts.channels, self.device, self.facts.classes)
                scoring[pace] = prices.scoring(self._observed(run, state, extractors[0])) if prices else 0.0
                steps[pace] = self._seconds_per_image(run, flops[run.id]) / max(flops[run.id], 1)
            dearest = max(runs, key=lambda run: flops[run.id])
            gain = self._bf16_gain(dearest, steps[pace_of(dearest)], flops[dearest.id])
            shared = prices.shared() if prices else 0.0
            unknown |= prices.unknown if prices else {}
            return Paces(
                flop=steps,
                scoring=scoring,
                shared=shared,
                fitting=fitting,
                start=self._start(),
                unknown=unknown,
                bf16_gain=gain,
            )

    def _start(self) -> float:
        """The seconds that a worker takes to start."""
        began = time.perf_counter()
        imports = f"import sys; sys.path += sys.argv[1:]; import {', '.join(worker.IMPORTS)}"
        command = [sys.executable, "-P", "-c", imports, *map(os.path.abspath, sys.path)]
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began

    def _bf16_gain(self, run: RunSpec, pace: float, flops: int) -> float | None:
        """The time of a run's training step, whose seconds per FLOP are `pace`, over that of the same in bf16.

        None for a framework that does not work in bf16, which nobody has asked for.
        """
        if run.training.precision == "bf16":
            return None
        training = run.training.model_copy(update={"precision": "bf16"})
        try:
            lower = self._seconds_per_image(run.model_copy(update={"training": training}), flops, nullcontext())
        except Exception:
            return None
        return pace * max(flops, 1) / lower

    def _seconds_per_image(
        self, run: RunSpec, flops: int, passing: AbstractContextManager[object] | None = None
    ) -> float:
        """Training steps on noise, spread over the phases of the framework, after one to warm up."""
        state = initial(run, self.facts.channels, self.device, self.facts.classes)
        train_in(run.training.precision, state.nets)
        batch = max(2, min(run.training.batch_size, int(STEP_FLOPS // max(flops, 1))))
        images, labels = self._noise(batch)
        labels = labels if labels is None else labels.to(self.device)
        examples = [Examples(images.to(self.device), labels)] * (batches := batches_per_step(state.framework))
        seconds: list[float] = []
        while not seconds or (len(seconds) <= STEPS and seconds[-1] < STEP_SECONDS) or sum(seconds) < STEP_SECONDS:
            before = self.clock()
            with passing or suppress(Diverged):  # that is for the run to find
                step(state, run, examples, (len(seconds) % STEPS) / STEPS)
            is_finite(state)  # which a run looks at after each step, and which waits for a GPU
            seconds.append(self.clock() - before)
        return statistics.fmean(seconds[1:] or seconds) / batch / batches

    def _prices(self, runs: Sequence[RunSpec], extractors: Sequence[Extractor]) -> Prices:
        facts, scoring = self.facts, self.spec.scoring
        shape = Shape(facts.channels, self.spec.data.size, self.spec.network.latent, facts.classes, facts.counts)
        snapshots = max(run.training.snapshots for run in runs)
        asked = metrics_of(scoring)
        return Prices(shape, asked, extractors, scoring.images, scoring.options, snapshots, self.clock)

    def _observed(self, run: RunSpec, state: State, extractor: Extractor) -> Observations:
        """A batch of noise, as the untrained networks of a run see it."""
        untrained = Untrained(run, state, self.facts.channels, self.facts.classes, self.device)
        images, labels = self._noise(BATCH)
        return replace(observe_networks(untrained, images, extractor), labels=labels)

    def _noise(self, rows: int) -> tuple[Tensor, Tensor | None]:
        classes, size = self.facts.classes, self.spec.data.size
        images = torch.rand(rows, self.facts.channels, size, size, generator=stream(0, "calibration")) * 2 - 1
        return images, torch.arange(rows) % classes if classes else None

    def _on_noise(self, unknown: dict[str, str]) -> tuple[list[Extractor], float]:
        """The study's extractors, fitted to noise, and the seconds that fitting them to its images will take.

        Where one cannot be had here there are none, and `unknown` has the reason.
        """
        noise, seconds, found = self._noise_dataset(), 0.0, list[Extractor]()
        with tempfile.TemporaryDirectory() as folder:
            for name in self.spec.scoring.features or features.default_names(noise):
                before = self.clock()
                try:
                    found += features.choose([name], noise, Path(folder))
                except InputError as error:
                    unknown["all scores"] = str(error)
                    return [], 0.0
                seconds += (self.clock() - before) * features.fitting_ratio(name, self.facts.counts, NOISE)
        return found, seconds

    def _noise_dataset(self) -> Dataset:
        splits = dict[str, Split]()
        for name, rows in NOISE.items():
            images, labels = self._noise(rows)
            splits[name] = Split(to_uint8(images), labels, torch.device("cpu"))
        return Dataset(
            **splits,
            source=self.spec.data.source,
            channels=self.facts.channels,
            size=self.spec.data.size,
            counts=NOISE,
            label_names=[str(index) for index in range(self.facts.classes)] or None,
            fingerprint="noise",
            notes=[],
        )


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Let PyTorch compute in so many threads in the block; None leaves their number as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
