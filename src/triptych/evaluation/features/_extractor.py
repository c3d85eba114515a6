"""What an extractor is, and how images go through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

BATCH = 250


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], inputs: Tensor, size: int = BATCH) -> Tensor:
    """`function` of inputs [N, ...] in batches of exactly `size`, on the CPU.

    The last batch is filled up with its own rows over again and cut after: the size of a batch can change the last bits
    of a result, so all have the same; and where a network looks at the statistics of its batch, they are these rows'.
    """
    results = []
    for part in inputs.split(size):
        full = part if len(part) == size else part[torch.arange(size, device=part.device) % len(part)]
        results.append(function(full)[: len(part)].cpu())
    return torch.cat(results)


@dataclass(frozen=True)
class Extractor:
    """Images [B, C, H, W] in [-1, 1] to features [B, d] in float64, with probabilities if a classifier.

    `backend` names another implementation of the same network, for features that may differ by rounding.

    `embed` is given float32 batches of `batch` images on `device`, where `networks` are all that it computes with; one
    that names no networks stays on the CPU. Of training images, which may be many, a slow one is
    asked for the features of `max_images` only.
    """

    name: str
    sha256: str  # of its weights
    dimension: int
    embed: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor] | None = None  # of features
    label_names: tuple[str, ...] | None = None
    batch: int = BATCH
    max_images: int = 60_000
    backend: str = ""
    networks: tuple[nn.Module, ...] = ()
    device: str = "cpu"

    @property
    def identity(self) -> str:
        """Its name, the first eight digits of its weights' hash and its backend, as scores name it."""
        return f"{self.name}@{self.sha256[:8]}" + (f" by {self.backend}" if self.backend else "")

    def on(self, device: str) -> Extractor:
        """The same on another device, to which its networks are moved."""
        if not self.networks:
            return self
        for network in self.networks:
            network.to(device)
        return replace(self, device=device)

    def __call__(self, images: Tensor) -> np.ndarray:
        """The features; raises ValueError if they are not [B, d] or not finite."""
        features = in_batches(self._shaped, images.detach().float(), self.batch).double().numpy()
        broken = int((~np.isfinite(features)).any(1).sum())
        if broken:
            what = "NaN" if np.isnan(features).any() else "infinity"
            raise ValueError(f"the extractor {self.name} gave {what} for {broken} of {len(images)} images")
        return features

    def classify(self, features: np.ndarray) -> np.ndarray | None:
        """Class probabilities [B, K] in float64 of features [B, d]; None if this is no classifier."""
        if self.logits is None:
            return None
        return in_batches(self.logits, torch.from_numpy(features).float().to(self.device)).double().softmax(1).numpy()

    def _shaped(self, images: Tensor) -> Tensor:
        """The features of one batch, which must be a tensor of the right shape."""
        features = self.embed(images.to(self.device))
        if not isinstance(features, Tensor):
            raise ValueError(f"the extractor {self.name} gave a {type(features).__name__}, not a tensor")
        if features.shape != (len(images), self.dimension):
            seen, due = list(features.shape), [len(images), self.dimension]
            raise ValueError(f"the extractor {self.name} gave features of shape {seen}, not {due}")
        return features
