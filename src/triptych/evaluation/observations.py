"""Observations: what a metric may see of one run, made lazily and once, and shared by every metric.

Real images are test images. Samples come from prior latents, the same for every framework at one seed
(`triptych.training.model.prior_latents`); reconstructions are of the real images. What a framework cannot do (a GAN
has no encoder) raises ValueError with the reason, which makes the scores that need it `Undefined(reason)`: never NaN,
zero or an empty array.
"""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from triptych import store
from triptych.data.dataset import random_subset
from triptych.evaluation.features import BATCH, Extractor, in_batches

ImageSet = Literal["real", "samples", "reconstructions", "training", "validation"]

Draw = Callable[[int], tuple[Tensor, Tensor | None]]
"""`draw(n)`: at most n images of a split, drawn at random [n, C, H, W], and their labels [n] if it has any."""


@dataclass(frozen=True)
class Undefined:
    """A value that does not exist, and why."""

    reason: str


class Measured(NamedTuple):
    """A value and what comes with it."""

    value: float
    error: float | None = None
    """Standard error over the images, in the value's unit. What seeds add to it, only more runs can say."""
    curve: tuple[tuple[float, float], ...] = ()
    """The points (x, y) behind the value, for the report; x is the output's `axis`."""
    note: str = ""
    """What a reader must know besides."""
    n: int | None = None
    """The images behind the value, where they are not all."""


def mean_of(values: Tensor | np.ndarray, **details: Any) -> Measured:
    """The mean of values [N], one per image, with its standard error, which one value alone does not have."""
    array = np.asarray(values, np.float64)
    error = float(array.std(ddof=1) / len(array) ** 0.5) if len(array) > 1 else None
    return Measured(float(array.mean()), error, n=len(array), **details)


def ratio_of_means(above: Tensor | np.ndarray, below: Tensor | np.ndarray, **details: Any) -> Measured:
    """mean(above) / mean(below) of pairs [N], one per image, with its standard error by the delta method."""
    a, b = np.asarray(above, np.float64), np.asarray(below, np.float64)
    ratio = float(a.mean() / b.mean())
    error = float((a - ratio * b).std(ddof=1) / (abs(b.mean()) * len(a) ** 0.5)) if len(a) > 1 else None
    return Measured(ratio, error, n=len(a), **details)


@dataclass
class Observations:
    """Observations of one run, from callables; all images are [B, C, H, W] in [-1, 1], on the CPU.

    `sample(n)` gives n samples, by default as many as there are real images. `reconstruct(images, labels)` gives
    reconstructions of a batch, `posterior(images, labels)` mean and log variance [B, latent] of q(z|x),
    `encode(images, labels)` codes [B, latent] where they are no means of a posterior, `decode(latents)` images,
    differentiable in the latents, and `dis_l(images)` features [B, F] of the discriminator; each is None for a
    framework that has no such thing, and `lacks` says why. `labels` [N] are those of the real images; `training` and
    `validation` draw from those splits; `log` holds the rows of the training log, `history` the observations of earlier
    moments by the images seen until then: look at one moment after another, for each access may open its networks.
    `cache` is a folder that keeps the features of images that runs of a study share, such as real ones; None keeps
    nothing.
    """

    real: Tensor
    sample: Callable[[int], Tensor]
    extractor: Extractor
    reconstruct: Callable[[Tensor, Tensor | None], Tensor] | None = None
    posterior: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]] | None = None
    encode: Callable[[Tensor, Tensor | None], Tensor] | None = None
    decode: Callable[[Tensor], Tensor] | None = None
    dis_l: Callable[[Tensor], Tensor] | None = None
    lacks: Mapping[Any, str] = field(default_factory=dict)
    latent: int = 0
    seed: int = 0
    labels: Tensor | None = None
    training: Draw | None = None
    validation: Draw | None = None
    log: list[dict[str, Any]] = field(default_factory=list, repr=False)
    history: Mapping[int, Observations] = field(default_factory=dict, repr=False)
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
    def reconstructions(self) -> Tensor:
        """Reconstructions of the real images, in order."""
        return self.reconstructed(self.real, self.labels)

    def reconstructed(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Reconstructions of any images, with their labels where they are known; raises ValueError for a framework that
        has none, or needs labels, and if any pixel is not finite.
        """
        reconstruct = self.reconstruct
        if reconstruct is None:
            raise ValueError(self.lacks.get("reconstruct", "no encoder"))

        def of(rows: Tensor) -> Tensor:
            return reconstruct(images[rows], None if labels is None else labels[rows])

        return _finite(in_batches(of, torch.arange(len(images))), "reconstructions")

    def labels_at(self, indices: Tensor) -> Tensor | None:
        """The labels of these real images, None where the data have none."""
        return None if self.labels is None else self.labels[indices]

    @cached_property
    def _posterior(self) -> tuple[Tensor, Tensor]:
        return self.posterior_of(self.real, self.labels)

    @cached_property
    def codes(self) -> Tensor:
        """Codes of the real images, [N, latent]: means of q(z|x), or what a deterministic encoder gives."""
        return self._posterior[0] if self.encode is None else self.codes_of(self.real, self.labels)

    @property
    def log_variances(self) -> Tensor:
        """Log variances of q(z|x) of the real images, [N, latent]."""
        return self._posterior[1]

    def codes_of(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes [B, latent] of any images; raises ValueError for a framework that has none, or needs labels."""
        encode = self.encode
        if encode is None:
            return self.posterior_of(images, labels)[0]

        def of(rows: Tensor) -> Tensor:
            return encode(images[rows], None if labels is None else labels[rows])

        return _finite(in_batches(of, torch.arange(len(images))), "codes")

    def posterior_of(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B, latent] of q(z|x) of any images; raises ValueError for a framework that has no
        posterior, or needs labels.
        """
        posterior = self.posterior
        if posterior is None:
            raise ValueError(self.lacks.get("posterior", "no encoder"))

        def of(rows: Tensor) -> Tensor:
            return torch.cat(posterior(images[rows], None if labels is None else labels[rows]), 1)

        mean, log_variance = _finite(in_batches(of, torch.arange(len(images))), "codes").chunk(2, dim=1)
        return mean, log_variance

    def decoder(self) -> Callable[[Tensor], Tensor]:
        """The decoder, differentiable; raises ValueError where there is none."""
        if self.decode is None:
            raise ValueError(self.lacks.get("decode", "no decoder from latents"))
        return self.decode

    def decoded(self, latents: Tensor) -> Tensor:
        """The images of any latents [B, latent], without gradients; raises ValueError without a decoder."""
        return _finite(in_batches(self.decoder(), latents), "decoded images")

    def dis_l_of(self, images: Tensor) -> Tensor:
        """Dis_l features [B, F] of any images; raises ValueError without a discriminator."""
        if self.dis_l is None:
            raise ValueError(self.lacks.get("discriminator_features", "no discriminator"))
        return in_batches(self.dis_l, images)

    def labelled(self) -> Tensor:
        """The labels [N] of the real images; raises ValueError where there are none."""
        if self.labels is None:
            raise ValueError("the data have no labels")
        return self.labels

    def training_images(self, most: int) -> tuple[Tensor, Tensor | None]:
        """At most so many training images and their labels; raises ValueError where they are not available."""
        if self.training is None:
            raise ValueError("the training images are not available")
        return self.training(most)

    def validation_images(self, most: int) -> tuple[Tensor, Tensor | None]:
        """At most so many validation images and their labels; raises ValueError where there are none."""
        images = None if self.validation is None else self.validation(most)
        if images is None or not len(images[0]):
            raise ValueError("there are no validation images")
        return images

    def some(self, most: int) -> Tensor:
        """Indices of at most `most` real images, drawn at random, for what is too dear to do with all."""
        return random_subset(len(self.real), most)

    def features(self, of: ImageSet) -> np.ndarray:
        """Features [N, d] in float64 of one set of images: of as many training images as the extractor can afford, of
        as many validation images as there are samples.
        """
        if of not in self._features:
            if of == "training":
                images, _ = self.training_images(self.extractor.max_images)
            elif of == "validation":
                images, _ = self.validation_images(self.n)
            else:
                images = getattr(self, of)
            shared = of in ("real", "training", "validation")
            self._features[of] = _cached(self.extractor, images, self.cache if shared else None)
        return self._features[of]

    def features_of_shared(self, images: Tensor) -> np.ndarray:
        """Features [B, d] in float64 of images [B, C, H, W] that are the same for every framework at one seed, such as
        changed real ones: made once for all of them.
        """
        return _cached(self.extractor, images, self.cache)

    def probabilities(self, of: ImageSet) -> np.ndarray:
        """Class probabilities [N, K] of one set of images; raises ValueError if the extractor is no classifier."""
        return self.classified(self.features(of))

    def classified(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities [N, K] of features [N, d]; raises ValueError if the extractor is no classifier."""
        probabilities = self.extractor.classify(features)
        if probabilities is None:
            without = "the data have no labels" if self.labels is None else f"the features are {self.extractor.name}"
            raise ValueError(f"no classifier: {without}")
        return probabilities

    def seen_by(self, extractor: Extractor) -> Observations:
        """The same observations in other features; what has been computed from images is shared."""
        other = copy.copy(self)
        other.extractor, other._features = extractor, {}
        return other


def _finite(values: Tensor, what: str) -> Tensor:
    if not all(bool(torch.isfinite(part).all()) for part in values.split(BATCH)):
        raise ValueError(f"some {what} are not finite")
    return values


def _cached(extractor: Extractor, images: Tensor, folder: Path | None) -> np.ndarray:
    """Features from the folder if these images' are there; a file that does not read is made again."""
    if folder is None:
        return extractor(images)
    content = np.ascontiguousarray(images.detach().cpu().numpy())
    key = hashlib.sha256(f"{extractor.sha256}/{content.shape}/{content.dtype}/".encode())
    key.update(content.data.cast("B"))  # no copy: all images may be gigabytes
    path = folder / f"{key.hexdigest()[:32]}.npy"
    with store.locked(folder, wait=True, name=path.stem):  # runs scored side by side compute them once
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
