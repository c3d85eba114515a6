"""Evidence: what may be observed of one run, made lazily and once, and shared by every metric.

Real images are test images. Samples come from prior latents, the same for every framework at one seed
(`prior_latents`); reconstructions are of the real images. What a framework cannot show (a GAN has no encoder)
is `Undefined(reason)`: never NaN, zero or an empty array.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from triptych import store
from triptych.features import BATCH, Extractor, in_batches
from triptych.rng import stream

ImageSet = Literal["real", "samples"]


@dataclass(frozen=True)
class Undefined:
    """A value that does not exist, and why."""

    reason: str


NO_ENCODER = Undefined("no encoder")


def prior_latents(seed: int, n: int, dimension: int) -> Tensor:
    """The standard normal latents [n, dimension] that evidence is sampled from at this seed."""
    return torch.randn(n, dimension, generator=stream(seed, "evidence/latents"))


@dataclass
class Evidence:
    """Observations of one run, from callables; all images are [B, C, H, W] in [-1, 1].

    `sample(n)` gives n samples; `reconstruct(images)` and `encode(images)` give reconstructions and codes [B,
    d] of a batch. The last two are Undefined for a framework without an encoder. `labels` [N] are those of
    the real images. `n` samples are drawn, by default as many as there are real images. `cache` is a folder
    that keeps the features of the real images, which all runs of a study share; None keeps nothing.
    """

    real: Tensor
    sample: Callable[[int], Tensor]
    extractor: Extractor
    reconstruct: Callable[[Tensor], Tensor] | Undefined = NO_ENCODER
    encode: Callable[[Tensor], Tensor] | Undefined = NO_ENCODER
    labels: Tensor | None = None
    n: int = 0
    cache: Path | None = None
    _features: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.n = self.n or len(self.real)

    @cached_property
    def samples(self) -> Tensor:
        """The samples [n, C, H, W]; raises ValueError if any pixel is not finite."""
        return _finite(self.sample(self.n).detach().cpu().float(), "samples")

    @cached_property
    def reconstructions(self) -> Tensor | Undefined:
        """Reconstructions of the real images, in order; raises ValueError if any pixel is not finite."""
        if isinstance(self.reconstruct, Undefined):
            return self.reconstruct
        return _finite(in_batches(self.reconstruct, self.real), "reconstructions")

    @cached_property
    def codes(self) -> Tensor | Undefined:
        """Codes [N, d] of the real images."""
        return self.encode if isinstance(self.encode, Undefined) else in_batches(self.encode, self.real)

    def features(self, of: ImageSet) -> np.ndarray:
        """Features [N, d] in float64 of one set of images."""
        if of not in self._features:
            real = of == "real"
            self._features[of] = (
                _cached(self.extractor, self.real, self.cache) if real else self.extractor(self.samples)
            )
        return self._features[of]

    def probabilities(self, of: ImageSet) -> np.ndarray | Undefined:
        """Class probabilities [N, K] of one set of images; Undefined if the data have no labels."""
        probabilities = self.extractor.classify(self.features(of))
        return Undefined("no classifier: the data have no labels") if probabilities is None else probabilities


def _finite(images: Tensor, what: str) -> Tensor:
    if not all(bool(torch.isfinite(part).all()) for part in images.split(BATCH)):
        raise ValueError(f"some {what} are not finite")
    return images


def _cached(extractor: Extractor, images: Tensor, folder: Path | None) -> np.ndarray:
    """Features from the folder if these images' are there; a file that does not read is made again."""
    if folder is None:
        return extractor(images)
    content = np.ascontiguousarray(images.detach().cpu().numpy())
    key = hashlib.sha256(f"{extractor.sha256}/{content.shape}/{content.dtype}/".encode())
    key.update(content.data.cast("B"))  # no copy: all images may be gigabytes
    path = folder / f"{key.hexdigest()[:32]}.npy"
    with store.locked(folder, wait=True):  # runs scored side by side compute them once
        try:
            features = np.load(path, allow_pickle=False)
            if features.shape == (len(images), extractor.dimension):
                return features
        except (OSError, ValueError, EOFError):
            pass
        features = extractor(images)
        buffer = io.BytesIO()
        np.save(buffer, features)
        store.write(path, buffer.getvalue())
        return features
