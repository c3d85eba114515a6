"""What several metrics share: features checked, distances in blocks, a ratio with its error."""

from __future__ import annotations

import numpy as np

from triptych.evidence import Evidence, Measured


def checked(features: np.ndarray, least: int, why: str) -> np.ndarray:
    """Features [N, d] in float64; raises ValueError with fewer than `least` rows (`why`) or any that is not finite."""
    features = np.asarray(features, np.float64)
    if len(features) < least:
        raise ValueError(why)
    if not np.isfinite(features).all():
        raise ValueError("some features are not finite")
    return features


def real_and_samples(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Features of real images and of samples; raises ValueError if those of all real images are the same.

    Samples that are all alike are a generator's fault and have scores; real ones are a fault of data or extractor.
    """
    real = evidence.features("real")
    if len(real) > 1 and bool((real == real[0]).all()):
        raise ValueError("all real images have the same features")
    return real, evidence.features("samples")


def spread(features: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, evenly spaced: the two halves of MNIST's test images differ in difficulty."""
    if len(features) <= most:
        return features
    return features[np.linspace(0, len(features) - 1, most).round().astype(int)]


def blocks(count: int, size: int) -> list[slice]:
    """Slices of at most `size` that make up range(count)."""
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x|^2 + |y|^2 - 2 x.y for all pairs, [len(x), len(y)]: centre both first, for less cancellation."""
    products = (-2 * x) @ y.T
    products += (x * x).sum(1)[:, None]
    products += (y * y).sum(1)
    return products.clip(0, out=products)  # rounding can carry the distance of equal points below


def doublings(part: Measured, whole: Measured) -> Measured:
    """|log2 (part / whole)| of two positive values that are independent."""
    gap = abs(np.log2(part.value / whole.value))
    if part.error is None or whole.error is None:
        return Measured(float(gap), note=part.note or whole.note)
    relative = np.hypot(part.error / part.value, whole.error / whole.value)
    return Measured(float(gap), float(relative / np.log(2)))
