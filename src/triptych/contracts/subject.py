"""A framework under test, and what it is played with: tiny networks, images of noise, labels of three classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from triptych.frameworks import Ability, Batch
from triptych.rng import stream
from triptych.spec import RunSpec, StudySpec, checked
from triptych.study.plan import runs_of
from triptych.training.cost import phases
from triptych.training.model import Model
from triptych.training.state import State, initial, set_evaluation
from triptych.training.step import Examples, batch_of, set_modes, update_groups

CLASSES = 3


@dataclass(frozen=True)
class Subject:
    """A framework under test, at one size and channel count."""

    name: str
    size: int = 16
    channels: int = 1

    def spec(self, seed: int = 0) -> RunSpec:
        study = {
            "frameworks": [self.name],
            "seeds": [seed],
            "data": {"size": self.size, "channels": self.channels},
            "network": {"width": 0.03, "latent": 3},
        }
        return runs_of(checked(StudySpec, study, "triptych check"))[0]

    def state(self, seed: int = 0) -> State:
        return initial(self.spec(seed), self.channels, classes=CLASSES)

    def examples(self, count: int = 4, number: int = 0, dtype: torch.dtype = torch.float32) -> Examples:
        """Images of noise with labels; another set for another number."""
        generator = stream(0, "check/images", number)
        shape = (count, self.channels, self.size, self.size)
        images = torch.rand(shape, generator=generator, dtype=torch.float64).mul(2).sub(1).to(dtype)
        return Examples(images, torch.randint(0, CLASSES, (count,), generator=generator))

    def model(self, state: State) -> Model:
        set_evaluation(state.nets, state.framework.batchnorm_mode)
        return Model.of(self.spec(), state, self.channels, CLASSES)


def turns(subject: Subject, state: State) -> Iterator[Batch]:
    """A batch for each turn of each phase, with the networks in the modes of training."""
    spec = subject.spec()
    for progress, _ in phases(state.framework).values():
        groups = update_groups(spec, state.framework, progress)
        set_modes(state, groups)
        for place, turn in enumerate(groups):
            if turn.players:
                yield batch_of(state, spec, subject.examples(), turn.players, place, progress)


def whole(batch: Batch) -> Batch:
    """The same batch with a graph that is cut nowhere."""
    return dataclasses.replace(batch, cut=lambda images: images)


def uses(subject: Subject, model: Model, count: int) -> dict[Ability, Callable[[], Any]]:
    """How to ask for each ability that has an output of its own, for so many images."""
    images, labels = subject.examples(count)
    latents = torch.randn(count, model.latent, generator=stream(0, "check/latents"))
    return {
        "sample": lambda: model.sample(latents, labels),
        "decode": lambda: model.decode(latents, labels),
        "encode": lambda: model.encode(images, labels),
        "posterior": lambda: model.posterior(images, labels),
        "reconstruct": lambda: model.reconstruct(images, labels),
        "discriminator_features": lambda: model.discriminator_features(images),
    }


def answer_of(use: Callable[[], Any]) -> Any:
    """What an ability gives; None where it says by ValueError that it has no answer to this."""
    try:
        return use()
    except ValueError:
        return None
