"""Frechet distance of normal laws fitted to features of real images and samples, without the bias of few images.

    F = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)       (Heusel et al. 2017, eq. 6; covariances with ddof = 1)

With S1 = A'A and S2 = B'B, the last trace is the nuclear norm of A B'. A and B are the triangular factors of
the centred features: no matrix square root is taken, and the form is exact for fewer images than features. PyTorch
does the algebra: unlike numpy, it uses only the threads that a run was given.

Deviation: not Inception features but those of this project's own extractor (named in every score), so
values are not comparable to published FIDs.

F as it stands, `frechet_uncorrected`, is biased upwards, and not by the same for all: at d = 64 and n = 1000 a side by
2.2 if the samples' law is the real one, 1.1 if its standard deviation is half of that, 3.3 if it is one and a half of
that (equal laws: 2d/n + d(d+1)/2n to leading order). So it favours samples that vary too little, such as blurred ones.

`frechet_distance` is corrected by the jackknife (Quenouille 1956) in k = 10 groups,

    k F - (k - 1) mean of F without group i       (group i of both sets, drawn for each set by itself)

which removes the bias of order 1/n. A few per cent of the bias are left, as long as nine tenths of the images are more
than the features (72 images a side at d = 64), and values spread hardly more: scripts/frechet_bias.py. With fewer
images more of it is left, and the note says so. The corrected value of two equal laws scatters around 0 and can be
negative. Extrapolation in 1/n (Chong and Forsyth 2020) has the same aim; it needs four times as many images, and more
time.

Standard error, by influence functions: an image y changes F by 2 (m2 - m1).(y - m2) + (y - m2)'(I - T)(y - m2), less
its mean, T being the optimal transport map from the samples' normal law to the real one, and the same for real
images. For equal laws it vanishes to first order; the given value is then too large by about the square root of 2. It
needs more images than features. With twice as many or more it is within about 15 % of the spread over new sets.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import checked, real_and_samples
from triptych.evaluation.observations import Measured, Observations
from triptych.rng import stream

GROUPS = 10
FEW = "fewer images than features: exact form, but a large bias upwards and no standard error"
TOO_FEW = f"fewer than {2 * GROUPS} images: not corrected for its bias upwards, which differs between frameworks"
LEFT = "hardly more images than features: a part of the bias upwards is left, which differs between frameworks"


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


def corrected(x: np.ndarray, y: np.ndarray, are_pairs: bool = False) -> Measured:
    """The distance of x [N, d] and y [M, d] without its bias of order 1/n, and its standard error, as `with_error`.

    With `are_pairs`, row i of both is left out together. Else the groups depend on the rows and not on their order, and
    those of y not on those of x: groups of alike rows, say of the brightest of both sets, would hide the bias. Of equal
    sets the distance is 0, and there is nothing to correct.
    """
    whole = with_error(x, y, are_pairs)
    if whole.value == 0:
        return whole
    if min(len(x), len(y)) < 2 * GROUPS:
        return whole._replace(note=TOO_FEW)
    group_x = _groups(x, "frechet/groups")
    group_y = group_x if are_pairs else _groups(y, "frechet/groups/samples")
    parts = [frechet_distance(x[group_x != i], y[group_y != i]) for i in range(GROUPS)]
    value = GROUPS * whole.value - (GROUPS - 1) * math.fsum(parts) / GROUPS
    enough = min(len(x), len(y)) * (GROUPS - 1) / GROUPS > x.shape[1]
    return whole._replace(value=value, note="" if enough else LEFT)


def _groups(x: np.ndarray, purpose: str) -> np.ndarray:
    """Each row's group [N]: a random order of the rows' lengths, the same in whatever order the rows are given."""
    groups = np.empty(len(x), int)
    order = torch.randperm(len(x), generator=stream(0, purpose)).numpy()
    groups[np.argsort((x * x).sum(1), kind="stable")[order]] = np.arange(len(x)) % GROUPS
    return groups


def _compute(observed: Observations) -> Values:
    real, samples = real_and_samples(observed)
    return {"frechet_distance": corrected(real, samples), "frechet_uncorrected": with_error(real, samples)}


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
            metric="frechet_uncorrected",
            label="Fréchet distance, uncorrected",
            unit="squared feature SD",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # as above
            role="secondary",
            about="The same as papers compute it: biased upwards with few images, least for samples of little variety.",
            topic=topics.SAMPLES,
        ),
    ),
    compute=_compute,
    features=True,
    per_feature_space=True,
    source="Heusel et al. 2017, eq. 6; Quenouille 1956 for the correction",
    blind_spots="Copies of training images, which it rewards, and any fault that leaves mean and covariance unchanged.",
)
