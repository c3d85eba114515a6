"""Kernel inception distance (Binkowski et al. 2018, section 4): unbiased squared MMD, kernel (x.y/d + 1)^3.

Deviations: the features are this project's own, and the U-statistic is taken over all images at once where
the paper averages over subsets; so there is no sampling in the metric, and it has the least variance that the
images allow. Being unbiased, it can be negative when the two laws are close. This is correct and never
clipped.

Standard error: of the U-statistic's first-order part, from each image's mean kernel with its own kind less that with
the other; 1.96 times it on either side is a 95 % interval. For equal laws the first order vanishes and the error
given is too large, by about the square root of 2.
"""

from __future__ import annotations

import itertools

import numpy as np

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import blocks, checked, products, real_and_samples
from triptych.evaluation.observations import Measured, Observations

BLOCK = 1000  # rows and columns of a tile of the kernel matrix


def kernel_distance(x: np.ndarray, y: np.ndarray) -> Measured:
    """The unbiased squared maximum mean discrepancy of x [N, d] and y [M, d], in float64; can be negative."""
    x, y = (checked(each, 2, "an unbiased estimate needs two images") for each in (x, y))
    # x.y/d + 1 is the product of these
    x, y = (np.hstack([each / np.sqrt(each.shape[1]), np.ones((len(each), 1))]) for each in (x, y))
    n, m = len(x), len(y)
    with_y, with_x = _between(x, y)
    x_means = _within(x) / (n - 1) - with_y / m
    y_means = _within(y) / (m - 1) - with_x / n
    value = x_means.mean() + y_means.mean()
    variance = 4 * (x_means.var(ddof=1) / n + y_means.var(ddof=1) / m)
    return Measured(float(value), float(np.sqrt(variance)))


def _cubes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = products(x, y)
    cubes = base * base  # several times faster than a power
    cubes *= base
    return cubes


def _between(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kernel's sums over all y for each x, and over all x for each y."""
    over_y, over_x = np.zeros(len(x)), np.zeros(len(y))
    for rows, columns in itertools.product(blocks(len(x), BLOCK), blocks(len(y), BLOCK)):
        cubes = _cubes(x[rows], y[columns])
        over_y[rows] += cubes.sum(1)
        over_x[columns] += cubes.sum(0)
    return over_y, over_x


def _within(x: np.ndarray) -> np.ndarray:
    """The kernel's sum over all others for each x; a tile off the diagonal counts for its mirror image, too."""
    sums = -((x * x).sum(1) ** 3)
    for rows, columns in itertools.combinations_with_replacement(blocks(len(x), BLOCK), 2):
        cubes = _cubes(x[rows], x[columns])
        sums[rows] += cubes.sum(1)
        if rows != columns:
            sums[columns] += cubes.sum(0)
    return sums


def _compute(observed: Observations) -> Values:
    return {"kid": kernel_distance(*real_and_samples(observed))}


METRIC = Metric(
    name="kid",
    outputs=(
        Output(
            metric="kid",
            label="Kernel distance",
            unit="squared MMD",
            better="lower",
            minimum=0.0,
            smallest_effect=0.05,  # 3/d at d = 64: as for the Frechet distance, one feature moves by its SD
            role="secondary",
            about="How far the samples' features lie from real test images, by an unbiased kernel estimate.",
            topic=topics.SAMPLES,
        ),
    ),
    compute=_compute,
    grows="pairs",
    features=True,
    per_feature_space=True,
    source="Binkowski et al. 2018, section 4",
    blind_spots="Copies of training images, and faults that leave the first three moments of the features unchanged.",
)
