"""The networks of a run as what they can be asked for: samples, codes, reconstructions, features.

This is the one way from outside to a framework's networks. What a framework lacks raises ValueError with the reason
that it declares, which becomes "undefined: ..." wherever a score needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triptych.frameworks import Ability, Framework
from triptych.rng import stream
from triptych.spec import RunSpec
from triptych.training.state import State, context_of

NEEDS_LABELS = "a conditional framework needs labels, and these images have none"


@dataclass(frozen=True)
class Model:
    """A framework with its networks. `latent` is the dimension D of its latents, `classes` 0 without labels.

    Every method takes one batch on any device and answers on the networks' device. Labels are int64 [B]; only
    conditional frameworks look at them, and these need them.
    """

    framework: Framework
    nets: nn.ModuleDict
    latent: int
    classes: int

    @classmethod
    def of(cls, spec: RunSpec, state: State, channels: int, classes: int) -> Model:
        """The networks of a run in memory."""
        latent = state.framework.latent_size(context_of(spec, channels, classes))
        return cls(framework=state.framework, nets=state.nets, latent=latent, classes=classes)

    @property
    def device(self) -> torch.device:
        return next(self.nets.parameters()).device

    def can(self, ability: Ability) -> bool:
        """Whether the framework has this ability."""
        return ability not in self.framework.lacks

    def require(self, ability: Ability) -> None:
        """Raise ValueError, with the reason, for an ability that the framework lacks."""
        if reason := self.framework.lacks.get(ability):
            raise ValueError(reason)

    def sample(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [B, C, S, S] in [-1, 1] from standard normal latents [B, D]."""
        self.require("sample")
        return self.framework.sample(self.nets, latents.to(self.device), self._labels(labels))

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [B, C, S, S] from codes [B, D], differentiable in the codes."""
        self.require("decode")
        return self.framework.decode(self.nets, codes.to(self.device), self._labels(labels))

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes [B, D] of images [B, C, S, S] in [-1, 1]."""
        self.require("encode")
        return self.framework.encode(self.nets, images.to(self.device), self._labels(labels))

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B, D] of q(z|x)."""
        self.require("posterior")
        return self.framework.posterior(self.nets, images.to(self.device), self._labels(labels))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [B, C, S, S] from images."""
        self.require("reconstruct")
        return self.framework.reconstruct(self.nets, images.to(self.device), self._labels(labels))

    def discriminator_features(self, images: Tensor) -> Tensor:
        """Dis_l features [B, F] of images."""
        self.require("discriminator_features")
        return self.framework.discriminator_features(self.nets, images.to(self.device))

    def _labels(self, labels: Tensor | None) -> Tensor | None:
        if not self.framework.conditional:
            return None
        if labels is None:
            raise ValueError(NEEDS_LABELS)
        return labels.to(self.device)


def prior_latents(seed: int, n: int, dimension: int) -> Tensor:
    """The standard normal latents [n, dimension] that a run is sampled from for evaluation at this seed."""
    return torch.randn(n, dimension, generator=stream(seed, "evidence/latents"))


def prior_labels(seed: int, n: int, class_counts: Sequence[int]) -> Tensor:
    """The labels [n] that a conditional run is sampled with at this seed, as frequent as among training images."""
    shares = torch.tensor(class_counts, dtype=torch.float64)
    return torch.multinomial(shares, n, replacement=True, generator=stream(seed, "evaluation/labels"))
