"""Time the forms of a VAE-GAN step next to each other, in one process.

In every round each form makes a few steps, in an order that is shuffled per round, so that whatever slows the machine
down slows all forms alike. A ratio is taken within a round, and its median and quartiles over the rounds. Before its
turn each form gets the initial weights back, so that no form drifts to other numbers. The garbage collector runs
between turns and is off within them. A large matrix product takes part as one more form: what it reaches is what this
machine can do at that moment.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.counting import Counts, count
from benchmarks.forms import Form, Prepared, Setting
from triptych.rng import stream
from triptych.spec import RunSpec
from triptych.study.presets import PRESETS

PRODUCT = 2048
"""The side of the square matrices whose product says what the machine can do: 17 GFLOP."""
TURN_SECONDS = 0.4
"""A turn has as many steps as our step makes in this time, at least one."""
WARM_UP = 2
"""Steps of each form before the first round; the counted step comes on top."""


@dataclass(frozen=True)
class Turn:
    """One turn, per step: seconds by the clock and of the processor, and pages of memory that the system handed out."""

    seconds: float
    processor_seconds: float
    page_faults: float


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
    spec: RunSpec, forms: dict[str, Form], rounds: int, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Time all forms that can be made here over so many rounds; the others are compared with the first form.

    Returns JSON values: each form's turns, counts and summary, the matrix products, the forms left out with reasons.
    """
    reasons = {name: reason for name, form in forms.items() if (reason := form.missing()) is not None}
    for name, reason in reasons.items():
        say(f"left out: {name}: {reason}")
    present = {name: form for name, form in forms.items() if name not in reasons}
    setting = Setting(spec, images_of(spec))
    initial_weights = setting.state().nets.state_dict()
    prepared = {name: form.make(setting) for name, form in present.items()}
    counts = {name: _warm(form) for name, form in prepared.items()}
    steps = _steps_per_turn(next(iter(prepared.values())))
    entrants: dict[str, tuple[Callable[[], object], Callable[[], object], int]] = {
        name: (lambda form=form: form.state.nets.load_state_dict(initial_weights), form.step, steps)
        for name, form in prepared.items()
    }
    products = {str(form.dtype): form.dtype for form in present.values()}
    entrants |= {name: (lambda: None, _product(dtype), 1) for name, dtype in products.items()}
    turns = _rounds(entrants, rounds, say)
    return {
        "batch": spec.training.batch_size,
        "size": spec.data.size,
        "width": spec.network.width,
        "rounds": rounds,
        "steps_per_turn": steps,
        "forms": _described(present, turns, counts, spec.training.batch_size),
        "products": {name: {"side": PRODUCT, "flops_per_second": _product_rate(turns[name])} for name in products},
        "left_out": reasons,
    }


def _warm(form: Prepared) -> Counts:
    """Make a form's first steps, in which optimisers and kernels are set up, and count one more."""
    for _ in range(WARM_UP):
        form.step()
    return count(form.step, form.state.optimisers.values())


def _steps_per_turn(form: Prepared) -> int:
    return max(1, round(TURN_SECONDS / _turn(form.step, 1).seconds))


def _product(dtype: torch.dtype) -> Callable[[], object]:
    matrices = [torch.rand(PRODUCT, PRODUCT, generator=stream(0, f"product/{i}")).to(dtype) for i in range(2)]
    out = matrices[0] @ matrices[1]
    return lambda: torch.mm(*matrices, out=out)


def _product_rate(turns: Sequence[Turn]) -> float:
    return 2 * PRODUCT**3 / float(np.median([turn.seconds for turn in turns]))


def _rounds(
    entrants: dict[str, tuple[Callable[[], object], Callable[[], object], int]],
    rounds: int,
    say: Callable[[str], None],
) -> dict[str, list[Turn]]:
    """Each entrant's turns, one a round; an entrant is how it gets ready, its step, and the steps of a turn."""
    turns: dict[str, list[Turn]] = {name: [] for name in entrants}
    shuffle = random.Random(0).shuffle
    for number in range(rounds):
        order = list(entrants)
        shuffle(order)
        for name in order:
            get_ready, step, steps = entrants[name]
            get_ready()
            turns[name].append(_turn(step, steps))
        say(f"round {number + 1} of {rounds}")
    return turns


def _turn(step: Callable[[], object], steps: int) -> Turn:
    with _no_garbage_collection():
        faults, processor, clock = _page_faults(), time.process_time(), time.perf_counter()
        for _ in range(steps):
            step()
        seconds, processor_seconds = time.perf_counter() - clock, time.process_time() - processor
        return Turn(seconds / steps, processor_seconds / steps, (_page_faults() - faults) / steps)


@contextmanager
def _no_garbage_collection():
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _page_faults() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _described(
    forms: dict[str, Form], turns: dict[str, list[Turn]], counts: dict[str, Counts], batch: int
) -> dict[str, dict[str, Any]]:
    """Each form as JSON values, compared with the first."""
    first, *_ = forms
    return {
        name: {
            "title": form.title,
            "dtype": str(form.dtype),
            **asdict(counts[name]),
            "summary": summary(turns[name], turns[first], counts[name], counts[first], batch),
            "turns": [asdict(turn) for turn in turns[name]],
        }
        for name, form in forms.items()
    }


def summary(own: Sequence[Turn], reference: Sequence[Turn], counts: Counts, base: Counts, batch: int) -> dict[str, Any]:
    """What a form's turns say: medians with quartiles, and ratios to the reference of the same round."""
    pairs = list(zip(own, reference, strict=True))
    seconds = float(np.median([turn.seconds for turn in own]))
    return {
        "seconds": _quartiles([turn.seconds for turn in own]),
        "processor_seconds": _quartiles([turn.processor_seconds for turn in own]),
        "ratio": _quartiles([a.seconds / b.seconds for a, b in pairs]),
        "processor_ratio": _quartiles([a.processor_seconds / b.processor_seconds for a, b in pairs]),
        "images_per_second": batch / seconds,
        "flops_per_image": counts.flops / batch,
        "flops_ratio": counts.flops / base.flops,
        "flops_per_second": counts.flops / seconds,
        "page_faults": float(np.median([turn.page_faults for turn in own])),
    }


def _quartiles(values: Sequence[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "low": float(low), "high": float(high)}
