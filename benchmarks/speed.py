"""Time the forms of a VAE-GAN step next to each other.

In every round each form makes a few steps, in an order that is shuffled per round, so that whatever slows the machine
down slows all forms alike. A ratio is taken within a round, and its median and quartiles over the rounds. Before its
turn each form gets the initial weights back, so that no form drifts to other numbers. The garbage collector runs
between turns and is off within them. A large matrix product takes part as one more form: what it reaches is what this
machine can do at that moment.

This is done twice: with all forms in one process, and with each form in a process of its own, of which one at a time is
awake. The difference is the memory allocator. In a process that holds much memory already, big tensors are taken from
it and given back to it. In a training process, which holds little else, they come from the system at every step.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.counting import Counts, count
from benchmarks.forms import PREFIX, Form, Prepared, Setting
from benchmarks.machine import ROOT
from triptych.rng import stream
from triptych.spec import RunSpec
from triptych.study.executors.local import ALLOCATOR
from triptych.study.presets import PRESETS

PRODUCT = 2048
"""The side of the square matrices whose product says what the machine can do: 17 GFLOP."""
TURN_SECONDS = 0.4
"""A turn has as many steps as our step makes in this time, at least one."""
WARM_UP = 3
"""Steps of each form before its first turn."""
PROCESSES = ("one", "each")
"""All forms in one process, each in one of its own."""


@dataclass(frozen=True)
class Turn:
    """One turn, per step: seconds by the clock and of the processor, and pages of memory that the system gave."""

    seconds: float
    processor_seconds: float
    page_faults: float


KEYS = tuple(field.name for field in fields(Turn))


def spec_of(preset: str, batch: int, **changes: Any) -> RunSpec:
    """The VAE-GAN of a preset at that batch size; `changes` are laid over its parts (`network={"width": 0.1}`)."""
    parts = {part: PRESETS[preset][part] for part in ("data", "network")} | {"training": {"batch_size": batch}}
    merged = {part: {**parts.get(part, {}), **changes.get(part, {})} for part in parts.keys() | changes.keys()}
    return RunSpec.model_validate({"framework": "vaegan", **merged})


def images_of(spec: RunSpec, channels: int = 1) -> torch.Tensor:
    """A batch of noise: [B, C, S, S], uniform in [-1, 1]. What images show does not change the time of a step."""
    shape = (spec.training.batch_size, channels, spec.data.size, spec.data.size)
    return torch.rand(shape, generator=stream(spec.seed, "benchmark")).mul(2).sub(1)


def measure(
    spec: RunSpec,
    forms: dict[str, Form],
    rounds: int,
    processes: Sequence[str] = PROCESSES,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time all forms that can be made here over so many rounds; the others are compared with the first form.

    Returns JSON values: what was counted of each form, the forms left out with reasons, and for each of `processes`
    every form's turns and their summary, and what a matrix product reached.
    """
    reasons = {name: reason for name, form in forms.items() if (reason := form.missing()) is not None}
    for name, reason in reasons.items():
        say(f"left out: {name}: {reason}")
    forms = {name: form for name, form in forms.items() if name not in reasons}
    setting = Setting(spec, images_of(spec))
    entrants = {name: Entrant(form, setting) for name, form in forms.items()}
    counts = {name: entrant.counted() for name, entrant in entrants.items()}
    first = next(iter(entrants.values()))
    steps = max(1, round(TURN_SECONDS / first.turn(1).seconds))
    found: dict[str, Any] = {
        "batch": spec.training.batch_size,
        "size": spec.data.size,
        "width": spec.network.width,
        "rounds": rounds,
        "steps_per_turn": steps,
        "forms": {
            name: {"title": form.title, "dtype": str(form.dtype), **asdict(counts[name])}
            for name, form in forms.items()
        },
        "left_out": reasons,
    }
    products = {str(form.dtype): _product(form.dtype) for form in forms.values()}
    if "one" in processes:
        turns = _rounds({n: partial(e.turn, steps) for n, e in entrants.items()} | products, rounds, say)
        found["one"] = _part(turns, counts, spec.training.batch_size)
    del entrants, first
    if "each" in processes:
        with ExitStack() as stack:
            workers = {name: stack.enter_context(Worker(spec, name)) for name in forms}
            for worker in workers.values():
                worker.wait()  # one after another, so that they do not slow each other down
            turns = _rounds({n: partial(w.turn, steps) for n, w in workers.items()} | products, rounds, say)
        found["each"] = _part(turns, counts, spec.training.batch_size)
    return found


class Entrant:
    """A form that is ready for its turns."""

    def __init__(self, form: Form, setting: Setting) -> None:
        self.form: Prepared = form.make(setting)
        self.initial_weights = {name: value.clone() for name, value in self.form.state.nets.state_dict().items()}
        for _ in range(WARM_UP):
            self.form.step()

    def counted(self) -> Counts:
        return count(self.form.step, self.form.state.optimisers.values())

    def turn(self, steps: int) -> Turn:
        """So many steps from the initial weights, timed."""
        self.form.state.nets.load_state_dict(self.initial_weights)
        return timed(self.form.step, steps)


class Worker:
    """A form in a process of its own (`python -m benchmarks.worker`), which makes a turn when it is asked to."""

    def __init__(self, spec: RunSpec, form: str) -> None:
        self.form = form
        command = [sys.executable, "-m", "benchmarks.worker"]
        settings = ALLOCATOR if form.startswith(PREFIX) or form == "minimal" else {}
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**settings, **os.environ},
        )
        self._asked = {"spec": spec.model_dump(mode="json"), "form": form, "threads": torch.get_num_threads()}

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        """Close its input, at which it ends."""
        self.process.communicate()

    def wait(self) -> None:
        """Let it prepare its form."""
        self._ask(self._asked)

    def turn(self, steps: int) -> Turn:
        return Turn(**self._ask(steps))

    def _ask(self, question: object) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its answer will be missing, too
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process of {self.form} has ended with exit code {self.process.wait()}")
        return json.loads(answer)


def _product(dtype: torch.dtype) -> Callable[[], Turn]:
    matrices = [torch.rand(PRODUCT, PRODUCT, generator=stream(0, f"product/{i}")).to(dtype) for i in range(2)]
    out = matrices[0] @ matrices[1]
    return lambda: timed(lambda: torch.mm(*matrices, out=out), 1)


def _rounds(entrants: dict[str, Callable[[], Turn]], rounds: int, say: Callable[[str], None]) -> dict[str, list[Turn]]:
    """Each entrant's turns, one per round."""
    turns: dict[str, list[Turn]] = {name: [] for name in entrants}
    shuffle = random.Random(0).shuffle
    for number in range(rounds):
        order = list(entrants)
        shuffle(order)
        for name in order:
            turns[name].append(entrants[name]())
        say(f"round {number + 1} of {rounds}")
    return turns


def _part(turns: dict[str, list[Turn]], counts: dict[str, Counts], batch: int) -> dict[str, Any]:
    """The turns as JSON values, and what they say; entrants without counts are matrix products."""
    first = next(iter(counts))
    return {
        "summary": {name: summary(turns[name], turns[first], counts[name], batch) for name in counts},
        "products": {
            name: 2 * PRODUCT**3 / float(np.median([turn.seconds for turn in own]))
            for name, own in turns.items()
            if name not in counts
        },
        "turns": {name: {key: [getattr(t, key) for t in own] for key in KEYS} for name, own in turns.items()},
    }


def timed(step: Callable[[], object], steps: int) -> Turn:
    """Make so many steps, without garbage collection, and take the mean of each."""
    with _no_garbage_collection():
        faults, processor, clock = _page_faults(), time.process_time(), time.perf_counter()
        for _ in range(steps):
            step()
        seconds, processor_seconds = time.perf_counter() - clock, time.process_time() - processor
        return Turn(seconds / steps, processor_seconds / steps, (_page_faults() - faults) / steps)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def summary(own: Sequence[Turn], reference: Sequence[Turn], counts: Counts, batch: int) -> dict[str, Any]:
    """What a form's turns say: medians with quartiles, and ratios to the reference of the same round."""
    pairs = list(zip(own, reference, strict=True))
    seconds = float(np.median([turn.seconds for turn in own]))
    return {
        "seconds": _quartiles([turn.seconds for turn in own]),
        "processor_seconds": _quartiles([turn.processor_seconds for turn in own]),
        "ratio": _quartiles([a.seconds / b.seconds for a, b in pairs]),
        "processor_ratio": _quartiles([a.processor_seconds / b.processor_seconds for a, b in pairs]),
        "images_per_second": batch / seconds,
        "flops_per_second": counts.flops / seconds,
        "page_faults": float(np.median([turn.page_faults for turn in own])),
    }


def _quartiles(values: Sequence[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "low": float(low), "high": float(high)}
