"""A run that is not there: it answers a metric with noise at once, and notes what it was asked for.

So what a metric takes is counted for any metric, a plug-in too, by computing it once or twice on few images: the time
that it takes itself, and the calls of networks and extractors, which are then priced by the pace of the real ones
(`triptych.evaluation.pricing`). Annealed importance sampling counts so with all of its thousands of calls, in a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from triptych.evaluation.features import Extractor
from triptych.evaluation.observations import ImageSet, Observations
from triptych.rng import stream

ABILITIES = ("sample", "reconstruct", "posterior", "encode", "decode", "dis_l")
"""What observations may be able to do; a metric may see that one is None."""


class Call(NamedTuple):
    """One call of a network, or of an extractor by its name, on a batch of rows."""

    what: str
    rows: int
    gradient: bool = False


@dataclass
class Asked:
    """What a metric asks for: `calls` of its own, `shared` what all metrics of a run share (("samples", "") or
    (extractor, image set)), and `abilities` that it has looked at.
    """

    calls: Counter[Call] = field(default_factory=Counter)
    shared: set[tuple[str, str]] = field(default_factory=set)
    abilities: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Shape:
    """The images [channels, size, size], latents and classes of a run, and the images in each split."""

    channels: int
    size: int
    latent: int
    classes: int
    counts: dict[str, int]


class StandIn(Observations):
    """Observations of few images that are noise. Made by `stand_in`, which sets what is named here."""

    asked: Asked
    images: Tensor
    latents: Tensor
    counts: dict[str, int]
    share: float

    def __getattribute__(self, name: str) -> Any:
        if (name in ABILITIES or name == "history") and "asked" in object.__getattribute__(self, "__dict__"):
            object.__getattribute__(self, "asked").abilities.add(name)
        return object.__getattribute__(self, name)

    @property
    def samples(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.asked.abilities.add("sample")
        if "sample" in self.lacks:
            raise ValueError(self.lacks["sample"])
        self._share("sample")
        return self.images

    @property
    def reconstructions(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self.reconstruct is None:
            raise ValueError("no encoder")
        self._share("reconstruct")
        return self.images

    @property
    def _posterior(self) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self.posterior is None:
            raise ValueError("no encoder")
        self._share("posterior")
        return self.latents, self.latents.abs().neg()

    def features(self, of: ImageSet) -> np.ndarray:
        space = self.extractor
        if of == "training":
            rows = max(2, round(min(space.max_images, self.counts["train"]) * self.share))
        elif of == "validation":
            rows = min(self.n, len(self.validation_images(self.n)[0]))
        else:
            rows = self.n
            if of != "real":
                getattr(self, of)  # which has to be there before its features
        self._share(space.name, of)
        generator = stream(0, f"stand-in/features/{of}")
        return torch.randn(rows, space.dimension, generator=generator, dtype=torch.float64).numpy()

    def _share(self, what: str, of: str = "") -> None:
        self.asked.shared.add((what, of))


def stand_in(shape: Shape, extractor: Extractor, lacks: Collection[str], rows: int, share: float) -> StandIn:
    """Observations of a run that lacks these of `ABILITIES`; what it is asked for is in its `asked`."""
    asked = Asked()
    generator = stream(0, "stand-in")
    images = torch.rand(rows, shape.channels, shape.size, shape.size, generator=generator) * 2 - 1
    latents = torch.randn(rows, shape.latent, generator=generator)

    def of(values: Tensor, count: int) -> Tensor:
        return values[torch.arange(count) % rows]

    def draw(split: str) -> Callable[[int], tuple[Tensor, Tensor | None]]:
        def drawn(most: int) -> tuple[Tensor, Tensor | None]:
            count = max(2, round(min(most, shape.counts[split]) * share)) if shape.counts[split] else 0
            return of(images, count), _labels(count, shape.classes)

        return drawn

    def answer(what: str, values: Tensor) -> Callable[..., Tensor]:
        def answered(given: Tensor, *labels: Tensor | None) -> Tensor:
            gradient = torch.is_grad_enabled() and given.requires_grad
            asked.calls[Call(what, len(given), gradient)] += 1
            found = of(values, len(given))
            return found + 0 * given.flatten(1)[:, :1].view(-1, *[1] * (found.ndim - 1)) if gradient else found

        return answered

    decode, code = answer("decode", images), answer("posterior", latents)
    reconstruct, dis_l, encode = answer("reconstruct", images), answer("dis_l", latents), answer("encode", latents)

    def posterior(given: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean = code(given)
        return mean, mean.abs().neg()

    observed = StandIn(
        real=images,
        sample=lambda n: answer("sample", images)(images[:1].expand(n, -1, -1, -1)),
        extractor=_counting(extractor, asked),
        reconstruct=None if "reconstruct" in lacks else reconstruct,
        posterior=None if "posterior" in lacks else posterior,
        encode=None if "encode" in lacks else encode,
        decode=None if "decode" in lacks else decode,
        dis_l=None if "dis_l" in lacks else dis_l,
        lacks=dict.fromkeys(lacks, "the framework lacks it"),
        latent=shape.latent,
        labels=_labels(rows, shape.classes),
        training=draw("train"),
        validation=draw("validation"),
    )
    observed.asked, observed.images, observed.latents = asked, images, latents
    observed.counts, observed.share = shape.counts, share
    return observed


def _labels(count: int, classes: int) -> Tensor | None:
    return torch.arange(count) % classes if classes else None


def _counting(extractor: Extractor, asked: Asked) -> Extractor:
    """The extractor with its network replaced by noise, and its calls counted."""

    def embed(images: Tensor) -> Tensor:
        asked.calls[Call(extractor.name, len(images))] += 1
        return torch.randn(len(images), extractor.dimension, generator=stream(0, "stand-in/embed"))

    return replace(extractor, embed=embed)
