"""Frechet distance of normal laws fitted to features of real images and samples (Heusel et al. 2017, eq. 6).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2),    covariances with ddof = 1.

With S1 = A'A and S2 = B'B, the last trace is the nuclear norm of A B'. A and B are the triangular factors of
the centred features: no matrix square root is taken, and the form is exact for fewer images than features.

Deviation: not Inception features but those of this project's own extractor (named beside every score), so
values do not compare with published FIDs. The estimate is biased upwards by about 2d/n + d(d+1)/2n for n
unit-variance features a side, 0.2 at d = 64, n = 10,000; the bias is the same for all frameworks at one n.
"""

from __future__ import annotations

import numpy as np

from triptych.evidence import Evidence, Undefined
from triptych.metrics import Metric, Output


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The squared Frechet (2-Wasserstein) distance of normal laws fitted to x [N, d] and y [M, d]."""
    if min(len(x), len(y)) < 2:
        raise ValueError("a covariance needs two images")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    shift = x.mean(0) - y.mean(0)
    a, b = _factor(x), _factor(y)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = shift @ shift + (a * a).sum() + (b * b).sum() - 2 * overlap
    return max(float(distance), 0.0)  # rounding can carry it a hair below


def _factor(x: np.ndarray) -> np.ndarray:
    """A triangular A with A'A the covariance of x."""
    return np.linalg.qr(x - x.mean(0), mode="r") / np.sqrt(len(x) - 1)


def _compute(evidence: Evidence) -> dict[str, float | Undefined]:
    return {"frechet_distance": frechet_distance(evidence.features("real"), evidence.features("samples"))}


METRIC = Metric(
    "frechet",
    (
        Output(
            "frechet_distance", "Fréchet distance", "squared feature SD", "lower",
            smallest_effect=1.0,  # the mean moves by one standard deviation of a single feature
            family="primary",
            about="How far the samples' features lie from those of real test images, in mean and covariance.",
            question="samples",
        ),
    ),
    _compute,
    features=True,
)  # fmt: skip
