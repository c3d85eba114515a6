"""Seeds: how many there are, when they are added, and the sources of randomness that each can have a seed of its own.

A run draws all its random numbers from `triptych.rng.stream(seed, purpose, step)`, and every purpose belongs to one
source. After Bouthillier et al. 2021 ("Accounting for variance in machine learning benchmarks", arXiv:2103.03098),
which varies one source while the others stay; the choice of hyperparameters, their sixth source, is fixed here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Annotated

from pydantic import AfterValidator

from triptych.plugins import suggest

SOURCES: dict[str, str] = {
    "initial": "the initial weights",
    "order": "the order of the data",
    "noise": "the noise of the training steps",
    "samples": "the evaluation samples",
    "split": "the split of the data",
}
"""Every source, in words. `initial`: the weights before the first step. `order`: which images are in which batch.
`noise`: latents and whatever else a step draws, random shifts of its images included. `samples`: what is drawn to score
a run: latents, labels, corruptions. `split`: which images are for training and which for validation; the test images
stay."""
FEWEST_VARIED = 3
"""With two seeds there is no interval of a share of variance."""


def _known(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"unknown source of randomness. {suggest(name, SOURCES)}")
    return name


Source = Annotated[str, AfterValidator(_known)]
"""The name of a source; for another one, the error names the nearest."""


def check_varied(sources: Sequence[str], seeds: Sequence[int] | None, looks: Sequence[int] | None) -> None:
    """Raise ValueError unless a study with these seeds and looks can vary the sources; None is for wrong ones."""
    if len(set(sources)) != len(sources):
        raise ValueError("name each source once")
    if sources and seeds is not None and len(seeds) < FEWEST_VARIED:
        raise ValueError(f"at least {FEWEST_VARIED} seeds are needed, and the study has {len(seeds)}")
    if sources and looks:
        raise ValueError("needs a fixed number of seeds, and looks add seeds; leave one of the two out")


def check_looks(looks: Sequence[int], seeds: int, frameworks: int) -> None:
    """Raise ValueError unless the looks are numbers of seeds that go up to all, and there is something to compare."""
    if looks and frameworks < 2:
        raise ValueError("looks add seeds until comparisons are decided, and one framework has nothing to compare with")
    if looks and (min(looks) < 2 or list(looks) != sorted(set(looks)) or looks[-1] != seeds):
        raise ValueError(f"looks are numbers of seeds in ascending order, from 2 to all {seeds} (got {list(looks)})")


def up_to_look(seeds: Sequence[int], looks: Sequence[int], begun: Collection[int]) -> list[int]:
    """The seeds up to the first look that covers those that have been begun; all where no looks are planned."""
    last = max((place for place, seed in enumerate(seeds, 1) if seed in begun), default=0)
    return list(seeds[: next((look for look in looks if look >= last), len(seeds))])


def parsed(text: str) -> tuple[int, tuple[int, ...]]:
    """The number of seeds and the looks in "3" or "3..12"; raises ValueError for anything else."""
    if text.strip().isdecimal():
        return int(text), ()
    first, dots, last = text.partition("..")
    if not (dots and first.strip().isdecimal() and last.strip().isdecimal() and 2 <= int(first) < int(last)):
        raise ValueError(f"seeds are a number such as 3, or looks such as 3..12 from 2 seeds on (got {text!r})")
    return int(last), looks_between(int(first), int(last))


def looks_between(first: int, last: int) -> tuple[int, ...]:
    """Numbers of seeds from the first to the last, each about half as many again: 3, 5, 8, 12."""
    looks = [first]
    while looks[-1] < last:
        looks.append(min(last, math.ceil(1.5 * looks[-1])))
    return tuple(looks)
