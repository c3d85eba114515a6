"""Is the path from one image to another smooth, and does it lead through images? All distances are in extractor
features f.

For every decoder G, between pairs of prior latents on the great circle through them (White 2016, arXiv:1609.04468):

    path_length        E |f(G(z_t)) - f(G(z_t+e))|^2 / e^2, t uniform (perceptual path length, Karras et al. 2019,
                       arXiv:1812.04948, section 4.1)
    path_ratio         the path over 8 steps over the direct distance of its ends, mean over mean: 1 is a straight
                       line, and the great circle itself comes to 1.11 under a linear decoder

For encoders, on the straight line between the codes of two test images of one class:

    midpoint_distance  the distance of the image halfway to the nearest real one, over the same distance for the two
                       real images themselves, mean over mean; the two are never their own neighbours. The curve
                       shows the whole path: 0 and 1 are reconstructions, so a hump between is the interpolation's

Deviations from Karras et al.: our features, not VGG's; e = 0.001, further from the rounding of float32 than their 1e-4
(on MNIST the two differ by less than half a per cent); no outliers are dropped. The images of a class are paired by
their ink, the first with the middle one: the pairs do not depend on the images' order.

Smooth is not good: the path length is zero for a decoder with one image, and blur or constant noise on every image
straightens the path (a linear decoder's 1.5 becomes 1.4). So these two have no better direction. The distance halfway
has one: blur and noise both move images away from real ones.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from triptych import topics
from triptych.data.dataset import random_subset
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Measured, Observations, Undefined, mean_of, ratio_of_means
from triptych.rng import stream

PAIRS = 300  # of prior latents
PATHS = 150  # of these pairs, those whose whole way is gone
MOST_MIDPOINTS = 200  # pairs of test images
STEPS = 8
EPSILON = 1e-3
WAY = (0.0, 0.25, 0.5, 0.75, 1.0)


def slerp(start: Tensor, end: Tensor, t: Tensor | float) -> Tensor:
    """The points [B, L] a share t, a number or [B, 1], of the way along the arc from start to end [B, L]."""
    cosine = torch.cosine_similarity(start, end, dim=1)[:, None].clamp(-1, 1)
    angle = cosine.acos().clamp(min=1e-4)  # equal directions: all but the straight line
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / angle.sin()


def _lengths(differences: np.ndarray) -> np.ndarray:
    return np.sqrt((differences**2).sum(-1))


def _smoothness(observed: Observations) -> Values:
    """Path length and ratio between pairs of prior latents; raises ValueError without a decoder."""
    observed.decoder()
    latents = torch.randn(2, PAIRS, observed.latent, generator=stream(observed.seed, "interpolation/latents"))
    start, end = latents.double()
    t = torch.rand(PAIRS, 1, generator=stream(observed.seed, "interpolation/position")).double()

    def features(points: Tensor) -> np.ndarray:
        return observed.extractor(observed.decoded(points.float()))

    speeds = _lengths(features(slerp(start, end, t + EPSILON)) - features(slerp(start, end, t))) / EPSILON
    stops = [slerp(start[:PATHS], end[:PATHS], step / STEPS) for step in range(STEPS + 1)]
    path = features(torch.cat(stops)).reshape(STEPS + 1, PATHS, -1)
    ways, direct = _lengths(np.diff(path, axis=0)).sum(0), _lengths(path[-1] - path[0])
    return {
        "path_length": mean_of(speeds**2),
        "path_ratio": ratio_of_means(ways, direct) if direct.mean() else Undefined("all latents give one image"),
    }


def pairs_by_ink(images: Tensor, labels: Tensor) -> Tensor:
    """Indices [P, 2] of disjoint pairs of one class, each class in order of brightness, first with middle."""
    brightness = images.double().mean((1, 2, 3))
    pairs = []
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        members = members[brightness[members].argsort(stable=True)]
        half = len(members) // 2
        pairs.append(torch.stack([members[:half], members[half : 2 * half]], 1))
    pairs = torch.cat(pairs)
    return pairs[random_subset(len(pairs), MOST_MIDPOINTS)]


def nearest_distances(points: np.ndarray, real: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Distances [P] of points [P, d] to the nearest of real [N, d], without the rows left_out [P, 2]."""
    centre = real.mean(0)
    points, real = points - centre, real - centre  # smaller norms, less cancellation
    squares = (points**2).sum(1)[:, None] + (real**2).sum(1) - 2 * points @ real.T
    squares[np.arange(len(points))[:, None], left_out] = np.inf
    return np.sqrt(squares.min(1).clip(0))


def _midpoints(observed: Observations) -> Measured | Undefined:
    try:
        codes, pairs = observed.codes, pairs_by_ink(observed.real, observed.labelled())
    except ValueError as reason:
        return Undefined(str(reason))
    if len(observed.real) < 3 or not len(pairs):
        return Undefined("no two images of one class and a third")
    start, end = codes[pairs[:, 0]], codes[pairs[:, 1]]
    real, ends = observed.features("real"), pairs.numpy()
    own = np.mean([nearest_distances(real[end], real, ends) for end in ends.T], axis=0)
    if not own.mean():
        return Undefined("the real images are copies of each other")

    def relative(share: float) -> Measured:
        features = observed.extractor(observed.decoded(torch.lerp(start, end, share)))
        return ratio_of_means(nearest_distances(features, real, ends), own)

    way = {share: relative(share) for share in WAY}
    curve = tuple((share, there.value) for share, there in way.items())
    return way[0.5]._replace(curve=curve, note=f"{len(pairs)} pairs")


def _compute(observed: Observations) -> Values:
    return {**_smoothness(observed), "midpoint_distance": _midpoints(observed)}


METRIC = Metric(
    name="interpolation",
    outputs=(
        Output(
            metric="path_length",
            label="Perceptual path length",
            unit="squared feature SD",
            better="none",
            scale="factor",
            smallest_effect=1.1,  # as for distances in features
            role="secondary",
            about="Squared speed of change of the image on the way between two prior latents, where the whole way "
            "has length 1.",
            topic=topics.LATENT,
        ),
        Output(
            metric="path_ratio",
            label="Detour",
            unit="ratio",
            better="none",
            scale="factor",
            smallest_effect=1.05,  # a twentieth of the direct distance
            role="secondary",
            about="Length of the way between two samples divided by their direct distance: 1 is a straight line.",
            topic=topics.LATENT,
        ),
        Output(
            metric="midpoint_distance",
            label="Halfway image",
            unit="ratio",
            better="lower",
            scale="factor",
            smallest_effect=1.05,  # a twentieth of the distance between real neighbours
            role="secondary",
            about="Distance from the image halfway between two of a class to the nearest real one, relative to real "
            "images, which have 1.",
            topic=topics.LATENT,
            axis="share of the way",
        ),
    ),
    compute=_compute,
    features=True,
    max_images=PAIRS,
    source="Karras et al. 2019, section 4.1; White 2016",
    blind_spots="A decoder that fades one image into the other has a straight path, and blur or constant noise makes "
    "any path straighter: read it together with sample quality. A decoder that makes only typical images has "
    "midpoints near real ones.",
)
