"""Vendi score (Friedman and Dieng 2023): the effective number of unlike images.

    VS = exp(-sum_i l_i log l_i),    l the eigenvalues of K/n,    K_ij the similarity of the features of images i and j

The similarity is the cosine of (max(x, 0), max(-x, 0)), the positive and the negative parts of the features as features
of their own. Deviation from the authors, who take the cosine of x: images of opposite features, the most unlike ones,
have the cosine -1 and count as one image there, since K has the rank 1. Here they have the similarity 0 and count
as two. For features that are nowhere negative, both are the same.

The eigenvalues are also those of X'X/n with X the parts at length 1: the smaller of the two matrices is taken.
Features are not centred for the cosines, so a mean that all images share lowers the score.

More is not better: noise has the largest score. The gap is the distance from that of as many real test images, in
doublings, |log2 (samples / real)|, which an ideal generator makes 0.

Standard errors by the influence of one image x on the entropy, -x'(log C) x less its mean, with C = X'X/n; they need
more images than twice the features. The score grows with n until n is many times that number.
"""

from __future__ import annotations

import numpy as np
import torch

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import checked, doublings, products, real_and_samples, spread
from triptych.evaluation.observations import Measured, Observations

FEW = "fewer images than twice the features: bounded by the number of images, and no standard error"


def vendi_score(features: np.ndarray) -> Measured:
    """The effective number of unlike rows of features [N, d], from 1 to min(N, 2d)."""
    x = checked(features, 2, "needs two images")
    x = np.hstack([x.clip(min=0), (-x).clip(min=0)])
    x = x[:, x.any(0)]  # a sign that no image has adds nothing
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if not lengths.size or not lengths.all():
        raise ValueError("the features of some image are all zero, and have no cosine")
    x = x / lengths
    n, d = x.shape
    found = torch.linalg.eigh(torch.from_numpy((products(x.T, x.T) if n > d else products(x, x)) / n))
    shares, vectors = (each.numpy() for each in found)
    seen = shares > 1e-12  # the others are 0 but for rounding
    logs = np.log(shares[seen])
    score = float(np.exp(-(shares[seen] * logs).sum()))
    if n <= d:
        return Measured(score, note=FEW)
    influence = -np.square(products(x, vectors[:, seen].T)) @ logs
    return Measured(score, score * float(influence.std(ddof=1) / np.sqrt(n)))


def _compute(observed: Observations) -> Values:
    real, samples = real_and_samples(observed)
    most = min(len(real), len(samples))  # the score depends on n
    score = vendi_score(samples)
    return {
        "vendi": score,
        "vendi_gap": doublings(vendi_score(spread(samples, most)), vendi_score(spread(real, most))),
    }


METRIC = Metric(
    name="vendi",
    outputs=(
        Output(
            metric="vendi",
            label="Vendi score",
            unit="images",
            better="none",
            minimum=0.0,
            smallest_effect=0.5,  # half an image
            role="secondary",
            about="Effective number of different samples. Compare it with real test images: noise has the largest "
            "number.",
            topic=topics.DIVERSITY,
        ),
        Output(
            metric="vendi_gap",
            label="Vendi gap",
            unit="doublings",
            better="lower",
            minimum=0.0,
            smallest_effect=0.1,  # 7 % of the effective number
            role="secondary",
            about="How often the samples' Vendi score must be doubled or halved to match real test images.",
            topic=topics.DIVERSITY,
        ),
    ),
    compute=_compute,
    features=True,
    per_feature_space=True,
    source="Friedman and Dieng 2023",
    blind_spots="Noise raises the score and can hide missing variety: images that differ need not be good ones.",
)
