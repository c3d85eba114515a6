"""Principal components of the pixels at 28 x 28, at most 64: for any images, and blind to what they show.

Each component's sign makes its largest weight positive. All are scaled by one number, so that the features'
variances average to 1 as the classifier's do, and a smallest effect means about the same in either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from triptych.evaluation.classifier import resize
from triptych.evaluation.features._extractor import Extractor
from triptych.evaluation.features._fitted import Fitted, fitted, fitted_on, to_fit

if TYPE_CHECKING:
    from triptych.data.dataset import Dataset

MOST_COMPONENTS = 64


def extractor(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Extractor:
    """The components of these data's training images."""
    tensors, record = fitted("pixels", _fit, dataset, folder, say)
    mean, components = tensors["mean"], tensors["components"]

    def embed(images: Tensor) -> Tensor:
        return (resize(images).flatten(1).double() - mean) @ components

    return Extractor(name="pixels", sha256=record["sha256"], dimension=components.shape[1], embed=embed)


def fitting_images(counts: Mapping[str, int]) -> int:
    """The images that the components are fitted to, for data of these counts by split."""
    return fitted_on(counts["train"], counts["test"])


def _fit(dataset: Dataset) -> Fitted:
    """The mean [D] and the components [D, d] of the pixels of training images."""
    _, images = to_fit(dataset)
    pixels = images.flatten(1).double().numpy()
    mean = pixels.mean(0)
    pixels -= mean  # in place: this may be 20,000 colour images
    covariance = pixels.T @ pixels / max(len(pixels) - 1, 1)
    size = len(covariance)
    keep = max(1, min(MOST_COMPONENTS, size, len(pixels) - 1))
    variances, vectors = scipy.linalg.eigh(covariance, subset_by_index=(size - keep, size - 1))
    variances, vectors = variances[::-1], vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(keep)])
    average = variances.clip(min=0).mean()
    components = vectors / (np.sqrt(average) if average > 0 else 1.0)
    tensors = {"mean": torch.from_numpy(mean), "components": torch.from_numpy(components.copy())}
    return tensors, {"name": "pixels", "channels": dataset.channels}
