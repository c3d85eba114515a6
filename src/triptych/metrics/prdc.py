"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), with k = 5.

A point's ball reaches up to, not including, its k-th neighbour among its own kind, itself left out.
Precision: samples in some real ball. Recall: real images in some sample's ball. Density: real balls a sample
lies in, over k. Coverage: real balls with a sample in them. For equal laws density is 1 and coverage 1 -
prod_{j<k} (N-1-j)/(N+M-1-j), at N = M about 1 - 2^-k = 0.97: no generator is to be blamed for the last 3 %.

Squared distances are |x|^2 + |y|^2 - 2 x.y in float64 blocks. A distance within 1e-9 (relative, squared) of
the radius counts as equal to it, hence outside, so that ties do not hang on the rounding of a product.
"""

from __future__ import annotations

import numpy as np

from triptych.evidence import Evidence, Undefined
from triptych.metrics import Metric, Output

K = 5
MOST = 10_000  # of a kind; time grows with the square
BLOCK = 500


def prdc(real: np.ndarray, fake: np.ndarray, k: int = K) -> dict[str, float]:
    """Precision, recall, density and coverage of fake [M, d] against real [N, d], more than k of each."""
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"needs more than {k} images of each kind")
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    centre = real.mean(0)
    real, fake = real - centre, fake - centre  # smaller norms, less cancellation
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    in_real_balls = np.zeros(len(fake), np.int64)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in _blocks(len(real)):
        distances = _distances(real[rows], fake)
        inside = distances < real_radii[rows, None]
        in_real_balls += inside.sum(0)
        covered[rows] = inside.any(1)
        recalled[rows] = (distances < fake_radii).any(1)
    return {
        "precision": float((in_real_balls > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(in_real_balls.mean() / k),
        "coverage": float(covered.mean()),
    }


def _blocks(count: int) -> list[slice]:
    return [slice(i, min(i + BLOCK, count)) for i in range(0, count, BLOCK)]


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances [len(x), len(y)]."""
    products = x @ y.T
    products *= -2
    products += (x * x).sum(1)[:, None]
    products += (y * y).sum(1)
    return products.clip(0, out=products)  # rounding can carry the distance of equal points below


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distances to the k-th other point, a hair less; 0 where that is a copy but for rounding."""
    radii = np.empty(len(x))
    for rows in _blocks(len(x)):
        distances = _distances(x[rows], x)
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = -np.inf  # itself, always first
        radii[rows] = np.partition(distances, k, axis=1)[:, k]
    smallest = 1e-12 * (x * x).sum(1).max()
    return np.where(radii <= smallest, 0.0, radii * (1 - 1e-9))


def _spread(features: np.ndarray) -> np.ndarray:
    """At most MOST rows, evenly spaced: the two halves of MNIST's test images differ in difficulty."""
    if len(features) <= MOST:
        return features
    return features[np.linspace(0, len(features) - 1, MOST).round().astype(int)]


def _compute(evidence: Evidence) -> dict[str, float | Undefined]:
    return dict(prdc(_spread(evidence.features("real")), _spread(evidence.features("samples"))))


def _share(metric: str, family: str, question: str, about: str, effect: float, unit: str = "share") -> Output:
    return Output(metric, metric.capitalize(), unit, "higher", effect, family, about, question)  # pyright: ignore


METRIC = Metric(
    "prdc",
    (
        # two images in a hundred: several times the sampling error of a share of some thousand images
        _share("coverage", "primary", "diversity", "Share of real test images with a sample close by.", 0.02),
        _share("recall", "secondary", "diversity", "Share of real test images that lie among the samples.", 0.02),
        _share("precision", "secondary", "samples", "Share of samples that lie among the real test images.", 0.02),
        # not a share: a sample may lie in many balls, and its sampling error is some times larger
        _share(
            "density",
            "secondary",
            "samples",
            "How densely real test images surround the samples.",
            0.05,
            "ratio",
        ),
    ),
    _compute,
    features=True,
    most=MOST,
)
