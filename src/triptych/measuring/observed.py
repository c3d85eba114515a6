"""What metrics may see of samples and real images alone; the features of a set are computed once for all its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.data.dataset import scale
from triptych.evaluation.features import Extractor
from triptych.evaluation.observations import ImageSet as Kind
from triptych.evaluation.observations import Observations
from triptych.evaluation.scoring import MOST_BYTES

Watch = Callable[[str], None]
"""Called with what is being done."""
PART = 1000
"""Images that go from bytes to floats at a time."""


@dataclass
class Pool:
    """Images [N, C, S, S] in uint8 and their features, which are computed once for each extractor."""

    pixels: np.ndarray
    watch: Watch = lambda text: None
    label: str = "images"
    _features: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.pixels)

    def features(self, extractor: Extractor) -> np.ndarray:
        """Features [N, d] in float64, of a batch of images at a time; raises ValueError if any is not finite."""
        if extractor.identity not in self._features:
            self.watch(f"features of {self.label}")
            size = max(1, PART // extractor.batch) * extractor.batch
            parts = [extractor(self.floats(slice(i, i + size))) for i in range(0, len(self), size)]
            self._features[extractor.identity] = np.concatenate(parts)
        return self._features[extractor.identity]

    def floats(self, which: Any) -> Tensor:
        """These images as floats in [-1, 1]."""
        return scale(torch.from_numpy(np.ascontiguousarray(self.pixels[which])))


@dataclass
class Part:
    """Some images of a pool, by their indices."""

    pool: Pool
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def features(self, extractor: Extractor) -> np.ndarray:
        """Their features [N, d]."""
        return self.pool.features(extractor)[self.indices]

    def floats(self) -> Tensor:
        """The images themselves in [-1, 1]: all, or as many as memory should hold, which are evenly spaced."""
        most = max(2, MOST_BYTES // (4 * int(np.prod(self.pool.pixels.shape[1:]))))
        step = -(-len(self) // most)
        return self.pool.floats(self.indices[::step])


@dataclass
class TwoSets(Observations):
    """Observations of samples and real images, whose features come from their pools; nothing is known of a model."""

    parts: dict[str, Part] = field(default_factory=dict, repr=False)

    def features(self, of: Kind) -> np.ndarray:
        """Features [N, d] of real images, samples or training images; raises ValueError where there are none."""
        if of not in self.parts:
            raise ValueError("no training images are given (--train)" if of == "training" else f"there are no {of}")
        if of not in self._features:
            self._features[of] = self.parts[of].features(self.extractor)
        return self._features[of]


def two_sets(samples: Part, real: Part, extractor: Extractor, train: Part | None = None) -> TwoSets:
    """Observations of samples against real images, and training images where they are known."""
    parts = {"samples": samples, "real": real} | ({} if train is None else {"training": train})
    return TwoSets(
        real=real.floats(),
        sample=lambda n: samples.floats(),
        extractor=extractor,
        n=len(samples),
        parts=parts,
        lacks={"reconstruct": "no model"},
    )
