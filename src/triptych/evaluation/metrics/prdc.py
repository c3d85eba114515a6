"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), with k = 5.

A point's ball reaches up to, not including, its k-th neighbour among its own kind, itself left out.
Precision: samples in some real ball. Recall: real images in some sample's ball. Density: real balls a sample
lies in, over k. Coverage: real balls with a sample in them. For equal laws density is 1 and coverage 1 -
prod_{j<k} (N-1-j)/(N+M-1-j), at N = M about 1 - 2^-k = 0.97: the last 3 % are no generator's fault.

Standard errors are conditional on the balls: the spread over the samples of precision and density, over the real
images of recall and coverage, as if the balls (and, of coverage, the samples in them) were given. Over new
sets of images, values spread 1.1 to 1.9 times as far.

Squared distances are |x|^2 + |y|^2 - 2 x.y in float64 tiles. A distance within 1e-9 (relative, squared) of
the radius counts as equal to it, hence outside, so that ties do not depend on the rounding of a product.
"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import blocks, checked, products, real_and_samples, sides, spread
from triptych.evaluation.observations import Measured, Observations, mean_of
from triptych.topics import Topic

K = 5
MOST = 10_000  # of a kind; time grows with the square
BLOCK = 1000  # rows and columns of a tile of the distance matrix


def prdc(real: np.ndarray, fake: np.ndarray, k: int = K) -> dict[str, Measured]:
    """Precision, recall, density and coverage of fake [M, d] against real [N, d], more than k of each."""
    real, fake = (checked(each, k + 1, f"needs more than {k} images of each kind") for each in (real, fake))
    centre = real.mean(0)
    real, fake = real - centre, fake - centre  # smaller norms, less cancellation
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    if (real_radii < 0).all():
        raise ValueError(f"every real image has {k} copies or more")
    in_real_balls = np.zeros(len(fake), np.int64)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    points, targets = sides(real)[0], sides(fake)[1]
    for rows, columns in itertools.product(blocks(len(real), BLOCK), blocks(len(fake), BLOCK)):
        distances = products(points[rows], targets[columns])
        inside = distances < real_radii[rows, None]
        in_real_balls[columns] += inside.sum(0)
        covered[rows] |= inside.any(1)
        recalled[rows] |= (distances < fake_radii[columns]).any(1)
    empty = int((real_radii < 0).sum())
    note = f"{empty} of {len(real)} real images have {k} copies or more: their balls are empty" if empty else ""
    return {
        "precision": mean_of(in_real_balls > 0, note=note),
        "recall": mean_of(recalled),
        "density": mean_of(in_real_balls / k, note=note),
        "coverage": mean_of(covered, note=note),
    }


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distances to the k-th other point, a hair less; -inf where that is a copy but for rounding."""
    points, targets = sides(x)
    nearest = np.full((len(x), k), np.inf)
    for rows, columns in itertools.combinations_with_replacement(blocks(len(x), BLOCK), 2):
        distances = products(points[rows], targets[columns])
        if rows == columns:
            np.fill_diagonal(distances, np.inf)  # a point is not its own neighbour
        else:  # a tile off the diagonal counts for its mirror image, too
            nearest[columns] = _smallest(nearest[columns], distances.T, k)
        nearest[rows] = _smallest(nearest[rows], distances, k)
    radii = nearest.max(1)
    return np.where(radii <= 1e-12 * np.square(x).sum(1).max(), -np.inf, radii * (1 - 1e-9))


def _smallest(known: np.ndarray, distances: np.ndarray, k: int) -> np.ndarray:
    """The k smallest of each row, [rows, k], of those known and of new distances."""
    return np.partition(np.hstack([known, distances]), k - 1, axis=1)[:, :k]


def _compute(observed: Observations) -> Values:
    real, samples = real_and_samples(observed)
    return dict(prdc(spread(real, MOST), spread(samples, MOST)))


def _share(
    metric: str,
    role: Literal["primary", "secondary"],
    topic: Topic,
    about: str,
    effect: float,
    unit: Literal["share", "ratio"] = "share",
) -> Output:
    return Output(
        metric=metric,
        label=metric.capitalize(),
        unit=unit,
        better="higher",
        scale="difference" if unit == "ratio" else "share",
        minimum=0.0 if unit == "ratio" else None,
        smallest_effect=effect,
        role=role,
        about=about,
        topic=topic,
    )


METRIC = Metric(
    name="prdc",
    outputs=(
        # two images in a hundred: several times the sampling error of a share of some thousand images
        _share("coverage", "primary", topics.DIVERSITY, "Share of real test images with a sample close by.", 0.02),
        _share("recall", "secondary", topics.DIVERSITY, "Share of real test images that lie among the samples.", 0.02),
        _share("precision", "secondary", topics.SAMPLES, "Share of samples that lie among the real test images.", 0.02),
        # not a share: a sample may lie in many balls, and its sampling error is some times larger
        _share(
            "density",
            "secondary",
            topics.SAMPLES,
            "How densely real test images surround the samples.",
            0.05,
            "ratio",
        ),
    ),
    compute=_compute,
    grows="pairs",
    features=True,
    max_images=MOST,
    per_feature_space=True,
    conditional_errors=True,  # the balls are taken as given
    source="Kynkaanniemi et al. 2019; Naeem et al. 2020",
    blind_spots="Blur, which raises precision and density; a single outlier with a large ball, which raises "
    "precision or recall.",
)
