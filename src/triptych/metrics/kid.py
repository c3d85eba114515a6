"""Kernel inception distance (Binkowski et al. 2018, section 4): unbiased squared MMD, kernel (x.y/d + 1)^3.

Deviations: the features are this project's own, and the U-statistic is taken over all images at once where
the paper averages over subsets; so there is no sampling in the metric, and it has the least variance that the
images allow. Being unbiased, it is negative at times when the two laws are close: that is legal and never
clipped.
"""

from __future__ import annotations

import numpy as np

from triptych.evidence import Evidence, Undefined
from triptych.metrics import Metric, Output

BLOCK = 100  # rows of the kernel matrix at a time


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy of x [N, d] and y [M, d], in float64; can be negative."""
    if min(len(x), len(y)) < 2:
        raise ValueError("an unbiased estimate needs two images")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n, m = len(x), len(y)
    within_x = (_sum(x, x) - _kernel((x * x).sum(1), x.shape[1]).sum()) / (n * (n - 1))
    within_y = (_sum(y, y) - _kernel((y * y).sum(1), y.shape[1]).sum()) / (m * (m - 1))
    return float(within_x + within_y - 2 * _sum(x, y) / (n * m))


def _kernel(products: np.ndarray, dimension: int) -> np.ndarray:
    base = products / dimension
    base += 1
    cube = base * base  # several times faster than base**3
    cube *= base
    return cube


def _sum(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of the kernel over all pairs."""
    return float(sum(_kernel(x[i : i + BLOCK] @ y.T, x.shape[1]).sum() for i in range(0, len(x), BLOCK)))


def _compute(evidence: Evidence) -> dict[str, float | Undefined]:
    return {"kid": kernel_distance(evidence.features("real"), evidence.features("samples"))}


METRIC = Metric(
    "kid",
    (
        Output(
            "kid", "Kernel distance", "squared MMD", "lower",
            smallest_effect=0.05,  # 3/d at d = 64: as for the Frechet distance, one feature moves by its SD
            family="secondary",
            about="How far the samples' features lie from real test images', by an unbiased kernel estimate.",
            question="samples",
        ),
    ),
    _compute,
    features=True,
)  # fmt: skip
