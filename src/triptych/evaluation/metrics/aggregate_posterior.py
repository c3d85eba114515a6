"""Is the aggregate posterior q(z), the codes of all images, where samples come from, the prior N(0, I)?

q(z) is the average of the posteriors q(z|x) of the test images (Makhzani et al. 2016; Hoffman and Johnson 2016). All
three are computed from that mixture itself, so nothing is drawn and no noise is added:

    prior_gap        |m|^2 + tr S + L - 2 tr S^(1/2), the squared Frechet distance of q(z)'s mean and covariance to
                     the prior's: m the mean of means, S their covariance plus the mean of the variances
    prior_ks         the Kolmogorov-Smirnov distance of q(z_i), a mixture of N normals, to N(0, 1), averaged over
                     dimensions, to within about 0.003. It sees what moments do not: lumps and holes
    code_norm        the mean of |z|^2 / L, 1 for the prior: below, codes lie inside the shell of prior latents

A classifier two-sample test (Lopez-Paz and Oquab 2017) was left out: in many dimensions its accuracy is near 1 for all
frameworks, and it must be trained. Bias: N codes drawn from the prior itself give a gap of about L/N + L (L + 1) / 4N
(0.4 at L = 128, N = 10,000) and a KS of 0.87 / sqrt N; where posteriors are wide, far less.
"""

from __future__ import annotations

import torch
from torch import Tensor

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics.active_units import ranked
from triptych.evaluation.observations import Measured, Observations, Undefined, mean_of

GRID = 50  # intervals of equal probability under the prior, in which the largest distance is looked for at first
PRECISION = 0.0025  # of the distances: a quarter of the smallest effect
CUT = 0.4
PLACES = 64  # places at once, each with a value for every image


def prior_gap(means: Tensor, variances: Tensor) -> Measured:
    """Squared Frechet distance to N(0, I) of a mixture of normals, means and variances [N, L], with its error.

    The error is that of the mean of influences: the derivative of tr S - 2 tr S^(1/2) is tr (I - S^(-1/2)) dS.
    """
    if len(means) < 2:
        raise ValueError("a covariance needs two images")
    means, variances = means.double(), variances.double()
    mean = means.mean(0)
    centred = means - mean
    covariance = centred.T @ centred / (len(means) - 1) + variances.mean(0).diag()
    eigenvalues, axes = torch.linalg.eigh(covariance)
    roots = eigenvalues.clamp(min=0).sqrt()
    gap = float(mean.square().sum() + (roots - 1).square().sum())
    if roots.min() < 1e-6:  # fewer images than dimensions, and no variances: the influence has a pole
        return Measured(gap)
    slopes = 1 - 1 / roots
    influences = 2 * centred @ mean + (centred @ axes).square() @ slopes + variances @ (axes.square() @ slopes)
    return Measured(gap, float(influences.std() / len(means) ** 0.5))


def ks_distances(means: Tensor, variances: Tensor) -> Tensor:
    """Kolmogorov-Smirnov distances [L] to N(0, 1) of mixtures of normals with means and variances [N, L].

    Both distribution functions rise, so between two places, with prior shares p < q and shares f <= g of the mixture,
    the distance is at most max(g - p, q - f). Intervals where that is more than `PRECISION` above the largest distance
    found so far are cut in two, until the difference is a straight line there, to that precision. The cut is off the
    middle, where a symmetric step looks straight.
    """
    means, scales = means.float().T.contiguous(), variances.float().T.rsqrt().clamp(max=1e6)
    latent = len(means)

    def below(dimensions: Tensor, shares: Tensor) -> Tensor:
        """The mixture's shares [P] below the prior's quantiles of these shares [P], in these dimensions [P]."""
        quantiles, found = torch.special.ndtri(shares).float(), []
        for d, x in zip(dimensions.split(PLACES), quantiles.split(PLACES), strict=True):
            # float32: this is the cost, and its rounding is far below the precision
            found.append(torch.special.ndtr((x[:, None] - means[d]) * scales[d]).mean(1).double())
        return torch.cat(found)

    grid = torch.arange(GRID + 1, dtype=torch.float64) / GRID
    inner = below(torch.arange(latent).repeat_interleave(GRID - 1), grid[1:-1].repeat(latent)).view(latent, GRID - 1)
    values = torch.cat([torch.zeros(latent, 1), inner, torch.ones(latent, 1)], 1).double()
    best = (values - grid).abs().amax(1)
    dimension = torch.arange(latent).repeat_interleave(GRID)
    p, q = grid[:-1].repeat(latent), grid[1:].repeat(latent)
    f, g = values[:, :-1].flatten(), values[:, 1:].flatten()
    while len(dimension):
        cut = p + CUT * (q - p)
        value = below(dimension, cut)
        best = best.scatter_reduce(0, dimension, (value - cut).abs(), "amax")
        bent = (value - f - CUT * (g - f)).abs().repeat(2) > PRECISION / 2
        p, q, f, g = torch.cat([p, cut]), torch.cat([cut, q]), torch.cat([f, value]), torch.cat([value, g])
        dimension = dimension.repeat(2)
        split = bent & (torch.maximum(g - p, q - f) > best[dimension] + PRECISION)
        dimension, p, q, f, g = (each[split] for each in (dimension, p, q, f, g))
    return best


def _compute(observed: Observations) -> Values:
    means, variances = observed.codes, observed.log_variances.double().exp()
    distances = ks_distances(means, variances)
    enough = len(means) > 1
    return {
        "prior_gap": prior_gap(means, variances) if enough else Undefined("a covariance needs two images"),
        "prior_ks": Measured(float(distances.mean()), curve=ranked(distances)),
        "code_norm": mean_of((means.double().square() + variances.double()).mean(1)),
    }


METRIC = Metric(
    name="aggregate_posterior",
    outputs=(
        Output(
            metric="prior_gap",
            label="Gap to the prior",
            unit="squared prior SD",
            better="lower",
            scale="factor",
            smallest_effect=1.25,  # a quarter more of a distance that is near 0 for a matched posterior
            role="secondary",
            about="How far the codes of test images lie from where samples are drawn, in mean and covariance.",
            topic=topics.LATENT,
        ),
        Output(
            metric="prior_ks",
            label="KS distance to the prior",
            unit="share",
            better="lower",
            scale="share",
            smallest_effect=0.01,  # of the codes of every dimension would have to move
            role="secondary",
            about="Distance of each latent dimension's distribution from the prior's, on average: 0 is equal, 1 is "
            "fully separate.",
            topic=topics.LATENT,
            axis="latent dimension, by distance",
        ),
        Output(
            metric="code_norm",
            label="Mean square of codes",
            unit="prior variance",
            better="none",
            minimum=0.0,
            smallest_effect=0.05,  # of the prior's 1
            role="secondary",
            about="Mean square of the codes' coordinates: the prior has 1; below 1, the codes lie inside the prior.",
            topic=topics.LATENT,
        ),
    ),
    compute=_compute,
    source="Hoffman and Johnson 2016; Makhzani et al. 2016; Frechet distance as Heusel et al. 2017, eq. 6",
    blind_spots="Posterior collapse: codes that carry no information match the prior exactly. The KS distance sees "
    "each dimension alone, not how dimensions depend on each other.",
)
