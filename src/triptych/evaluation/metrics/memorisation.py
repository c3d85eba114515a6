"""Memorisation: are samples nearer to the training images than test images, which are certainly new?

It uses the distance of each sample and each test image to its nearest training image, in feature space.

`data_copying` (Meehan et al. 2020): how often a sample is the farther of the two, as the z-score of the
Mann-Whitney U, with the correction for ties. 0 for images as new as the test images, below for copying, above for
samples far from the training images. Deviation: computed over the whole feature space; the authors also average over
its cells, which finds copies in one part of it even if distant samples elsewhere compensate them.

`copied_share`: the share of samples no farther than the nearest 1 % of test images are; for new images it is 0.01.

Standard errors hold the training images fixed: of z by the placements of each image among the others (DeLong et al.
1988), of the share binomial, with that of the 1 % quantile.
"""

from __future__ import annotations

import itertools

import numpy as np

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import blocks, checked, products, real_and_samples, sides, spread
from triptych.evaluation.observations import Measured, Observations, Undefined

MOST = 10_000  # samples, and test images, in up to 64 features; fewer in more, for it takes as long
CLOSE = 0.01
LEAST = 100  # of each, for there to be a nearest 1 %
BLOCK = 500  # rows of a tile of the distance matrix, which should stay in the processor's cache


def nearest(x: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Distances [N] from rows of x [N, d] to their nearest rows of training [M, d]; 0 for copies but for rounding."""
    x, training = (checked(each, 1, "there are no images") for each in (x, training))
    centre = training.mean(0)
    points, targets = sides(x - centre)[0], sides(training - centre)[1]
    squares = np.full(len(x), np.inf)
    for rows, columns in itertools.product(blocks(len(x), BLOCK), blocks(len(training), 4 * BLOCK)):
        squares[rows] = np.minimum(squares[rows], products(points[rows], targets[columns]).min(1))
    return np.sqrt(np.where(squares <= 1e-12 * np.square(x - centre).sum(1).max(), 0.0, squares))


def data_copying(samples: np.ndarray, test: np.ndarray) -> Measured | Undefined:
    """The z-score of the distances [M] of samples against those [N] of test images: negative for copying."""
    from scipy.stats import rankdata  # imported late, since it takes a second

    m, n = len(samples), len(test)
    both = np.concatenate([samples, test])
    ranks, total = rankdata(both), m + n
    ties = np.unique(both, return_counts=True)[1].astype(np.float64)
    spread_of_u = np.sqrt(m * n / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1))))
    if spread_of_u <= 0:
        return Undefined("all samples and test images are equally far from the training images")
    farther = (ranks[:m] - rankdata(samples)) / n  # for each sample, the share of test images that are nearer
    nearer = (ranks[m:] - rankdata(test)) / m
    error = np.sqrt(farther.var(ddof=1) / m + nearer.var(ddof=1) / n)
    return Measured(float((farther.mean() - 0.5) * m * n / spread_of_u), float(error * m * n / spread_of_u))


def copied_share(samples: np.ndarray, test: np.ndarray) -> Measured:
    """The share of distances [M] of samples that are no larger than the smallest 1 % of those [N] of test images."""

    def closer(share: float) -> float:
        return float((samples <= np.quantile(test, share, method="inverted_cdf")).mean())

    value = closer(CLOSE)
    slope = (closer(1.5 * CLOSE) - closer(0.5 * CLOSE)) / CLOSE  # how the share moves with the quantile's own error
    variance = value * (1 - value) / len(samples) + slope**2 * CLOSE * (1 - CLOSE) / len(test)
    return Measured(value, float(np.sqrt(variance)))


def _compute(observed: Observations) -> Values:
    real, samples = real_and_samples(observed)
    training = observed.features("training")
    most = min(MOST, MOST * 64 // real.shape[1])
    if min(len(real), len(samples), most) < LEAST:
        raise ValueError(f"needs {LEAST} samples and as many test images")
    of_samples, of_test = (nearest(spread(each, most), training) for each in (samples, real))
    count = most if most < min(MOST, len(real), len(samples)) else None
    found = {"data_copying": data_copying(of_samples, of_test), "copied_share": copied_share(of_samples, of_test)}
    return {key: each._replace(n=count) if isinstance(each, Measured) else each for key, each in found.items()}


METRIC = Metric(
    name="memorisation",
    outputs=(
        Output(
            metric="data_copying",
            label="Data copying",
            unit="standard deviations",
            better="none",
            smallest_effect=3.0,  # chance alone gives such a score to three in a thousand
            role="secondary",
            about="Distance of samples to the nearest training image, compared with that of test images: negative "
            "for copies.",
            topic=topics.SAMPLES,
        ),
        Output(
            metric="copied_share",
            label="Copied samples",
            unit="share",
            better="lower",
            scale="share",
            smallest_effect=0.01,  # as many again as chance gives
            role="secondary",
            about="Share of samples as near to a training image as the nearest 1 % of test images are.",
            topic=topics.SAMPLES,
        ),
    ),
    compute=_compute,
    features=True,
    max_images=MOST,
    per_feature_space=True,
    source="Meehan et al. 2020",
    blind_spots="Blurred or typical samples, which lie near training images without being copies; copies with noise "
    "added.",
)
