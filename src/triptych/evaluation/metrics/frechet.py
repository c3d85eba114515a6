"""Frechet distance of normal laws fitted to features of real images and samples, and its extrapolation to n = inf.

    F = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)       (Heusel et al. 2017, eq. 6; covariances with ddof = 1)

With S1 = A'A and S2 = B'B, the last trace is the nuclear norm of A B'. A and B are the triangular factors of
the centred features: no matrix square root is taken, and the form is exact for fewer images than features. PyTorch
does the algebra: unlike numpy, it uses only the threads that a run was given.

Deviation: not Inception features but those of this project's own extractor (named in every score), so
values are not comparable to published FIDs. The estimate is biased upwards by about 2d/n + d(d+1)/2n for n
unit-variance features per side, 0.2 at d = 64, n = 10,000; the bias is the same for all frameworks at one n.

`frechet_infinity` (Chong and Forsyth 2020) removes the bias of order 1/n: a line is fitted to F over 1/n at eight
sizes and read at 0. It can be negative. Deviation: both sets are cut, not the samples alone. They are put into a
seeded random order and cut into j = 2..9 parts, and F is averaged over every two neighbouring parts; the last and the
first are neighbours, too. So all sizes see all images equally often, and the extrapolation has, to first order,
the standard error of F itself. A bias of order (d/n)^2 is left: the smallest size, 2n/9, must exceed d.

Standard error, by influence functions: an image y changes F by 2 (m2 - m1).(y - m2) + (y - m2)'(I - T)(y - m2), less
its mean, T being the optimal transport map from the samples' normal law to the real one, and the same for real
images. For equal laws it vanishes to first order; the given value is then too large by about the square root of 2. It
needs more images than features. With twice as many or more it is within about 15 % of the spread over new sets.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import checked, real_and_samples
from triptych.evaluation.observations import Measured, Observations, Undefined
from triptych.rng import stream

CUTS = tuple(range(2, 10))
FEW = "fewer images than features: exact form, but a large bias upwards"


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The squared Frechet (2-Wasserstein) distance of normal laws fitted to x [N, d] and y [M, d]."""
    (p, a), (q, b) = _factored(x), _factored(y)
    return _distance(p.mean(0) - q.mean(0), a, b, torch.linalg.svdvals(a @ b.T))


def _factored(x: np.ndarray) -> tuple[Tensor, Tensor]:
    """x as a tensor, and a triangular A with A'A its covariance."""
    rows = torch.from_numpy(checked(x, 2, "a covariance needs two images"))
    centred, scale = rows - rows.mean(0), (len(x) - 1) ** 0.5
    if len(x) > x.shape[1]:
        factor, failed = torch.linalg.cholesky_ex(centred.T @ centred, upper=True)
        pivots = factor.diagonal()
        # far from singular it is as exact as the orthogonal factorisation, and several times faster
        if not failed and pivots.min() > 1e-4 * pivots.max():
            return rows, factor / scale
    return rows, torch.linalg.qr(centred, mode="r")[1] / scale


def _distance(shift: Tensor, a: Tensor, b: Tensor, overlaps: Tensor) -> float:
    """The distance from the means' difference, triangular factors and the singular values of A B'."""
    both = float(a.square().sum() + b.square().sum())
    distance = float(shift @ shift) + both - 2 * float(overlaps.sum())
    return distance if distance > 1e-12 * both else 0.0  # of equal sets, rounding leaves a hair, above or below


def with_error(x: np.ndarray, y: np.ndarray, are_pairs: bool = False) -> Measured:
    """The distance of x [N, d] and y [M, d] with its standard error, None with no more images than features.

    `are_pairs` says that row i of y is made from row i of x: their influences add up before the variance is taken.
    """
    if min(len(x), len(y)) <= x.shape[1]:
        return Measured(frechet_distance(x, y), note=FEW)
    (p, a), (q, b) = _factored(x), _factored(y)
    shift = p.mean(0) - q.mean(0)
    left, overlaps, right = torch.linalg.svd(a @ b.T)
    # (x - m1)'T(x - m1) is |(x - m1) B'V s^(-1/2)|^2: T is not formed, for where a covariance is singular there is none
    scale = torch.where(overlaps > 1e-10 * overlaps[0], overlaps.rsqrt(), 0.0)
    of_x = _influence(p, shift, b.T @ right.T * scale)
    of_y = _influence(q, -shift, a.T @ left * scale)
    variance = (of_x + of_y).var() / len(p) if are_pairs else of_x.var() / len(p) + of_y.var() / len(q)
    return Measured(_distance(shift, a, b, overlaps), float(variance.sqrt()))


def _influence(x: Tensor, away: Tensor, root: Tensor) -> Tensor:
    """The change of the distance with each row of x, but for a constant; T is `root` times its transpose."""
    x = x - x.mean(0)
    return 2 * x @ away + x.square().sum(1) - (x @ root).square().sum(1)


def extrapolated(x: np.ndarray, y: np.ndarray, seed: int, error: float | None = None) -> Measured | Undefined:
    """The distance at infinitely many images; its curve is the points (1/n, distance at n) that it comes from."""
    smallest, features = min(len(x), len(y)) * 2 // CUTS[-1], x.shape[1]
    if smallest <= features:
        return Undefined(
            f"the smallest of {len(CUTS)} sizes, {smallest} images, is not more than the {features} features"
        )
    generator = stream(seed, "frechet/parts")
    x, y = (_shuffled(each, generator) for each in (x, y))
    inverse, distances = [], []
    for cuts in CUTS:
        parts = zip(_neighbours(x, cuts), _neighbours(y, cuts), strict=True)
        distances.append(np.mean([frechet_distance(*pair) for pair in parts]))
        inverse.append(cuts / (2 * len(y)))
    limit = float(np.polyfit(inverse, distances, 1)[1])
    return Measured(limit, error, tuple(zip(inverse, map(float, distances), strict=True)))


def _shuffled(x: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """x in a random order, which is the same in whatever order its rows are given: they are sorted by length first."""
    return x[np.argsort((x * x).sum(1), kind="stable")[torch.randperm(len(x), generator=generator).numpy()]]


def _neighbours(x: np.ndarray, cuts: int) -> list[np.ndarray]:
    """Every two neighbouring parts of x, cut into so many; of two parts, that is all of x, once."""
    n, ring = len(x), np.concatenate([x, x])
    return [ring[i * n // cuts : i * n // cuts + 2 * n // cuts] for i in range(cuts if cuts > 2 else 1)]


def _compute(observed: Observations) -> Values:
    real, samples = real_and_samples(observed)
    distance = with_error(real, samples)
    return {
        "frechet_distance": distance,
        "frechet_infinity": extrapolated(real, samples, observed.seed, distance.error),
    }


METRIC = Metric(
    name="frechet",
    outputs=(
        Output(
            metric="frechet_distance",
            label="Fréchet distance",
            unit="squared feature SD",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # a tenth: seeds of one framework lie about that far apart
            role="primary",
            about="How far the samples' features lie from those of real test images, in mean and covariance.",
            topic=topics.SAMPLES,
        ),
        Output(
            metric="frechet_infinity",
            label="Fréchet distance at infinite n",
            unit="squared feature SD",
            better="lower",
            smallest_effect=1.0,  # as above
            role="secondary",
            about="The Fréchet distance extrapolated to infinitely many images, without most of its bias.",
            topic=topics.SAMPLES,
            axis="1 / images",
        ),
    ),
    compute=_compute,
    features=True,
    per_feature_space=True,
    source="Heusel et al. 2017, eq. 6; Chong and Forsyth 2020",
    blind_spots="Copies of training images, which it rewards, and any fault that leaves mean and covariance unchanged.",
)
