"""What several metrics share: features checked, products and distances, a ratio with its error."""

from __future__ import annotations

import numpy as np
import torch

from triptych.data.dataset import random_subset
from triptych.evaluation.observations import Measured, Observations


def checked(features: np.ndarray, least: int, why: str) -> np.ndarray:
    """Features [N, d] in float64; raises ValueError with fewer than `least` rows (`why`) or any that is not finite."""
    features = np.ascontiguousarray(features, np.float64)
    if len(features) < least:
        raise ValueError(why)
    if not np.isfinite(features).all():
        raise ValueError("some features are not finite")
    return features


def real_and_samples(observed: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Features of real images and of samples; raises ValueError if those of all real images are the same.

    Samples that are all alike are a generator's fault and have scores; real ones are a fault of data or extractor.
    """
    real = observed.features("real")
    if len(real) > 1 and bool((real == real[0]).all()):
        raise ValueError("all real images have the same features")
    return real, observed.features("samples")


def spread(features: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, drawn at random, in their order."""
    if len(features) <= most:
        return features
    return features[random_subset(len(features), most).sort().values.numpy()]


def blocks(count: int, size: int) -> list[slice]:
    """Slices of at most `size` that make up range(count)."""
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x y', by PyTorch: unlike numpy's it keeps to the threads that a run was given, and does not fight for more."""
    return (torch.from_numpy(x) @ torch.from_numpy(y).T).numpy()


def sides(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(-2x, |x|^2, 1) and (x, 1, |x|^2): the products of the first of x with the second of y are squared distances.

    Centre x and y first, for less cancellation; rounding can carry the distance of equal points below 0.
    """
    squares, ones = (x * x).sum(1)[:, None], np.ones((len(x), 1))
    return np.hstack([-2 * x, squares, ones]), np.hstack([x, ones, squares])


def doublings(part: Measured, whole: Measured) -> Measured:
    """|log2 (part / whole)| of two positive values that are independent."""
    gap = abs(np.log2(part.value / whole.value))
    if part.error is None or whole.error is None:
        return Measured(float(gap), note=part.note or whole.note)
    relative = np.hypot(part.error / part.value, whole.error / whole.value)
    return Measured(float(gap), float(relative / np.log(2)))
