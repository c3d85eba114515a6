"""How many latent dimensions carry something of the image, and how many nats they carry.

Active units (Burda et al. 2016, arXiv:1509.00519, section 5.2): dimensions whose posterior mean varies between test
images, Var_x E[z|x] > 0.01. Neither direction is better: too few is a posterior collapse, but without pressure on
the codes all units are active, needed or not.

`posterior_kl` is the mean of KL(q(z|x) || N(0, I)) over test images in nats, an upper bound of what the codes say
about the image. It has no better direction, either: it is one side of a trade-off whose other side is reconstruction.
"""

from __future__ import annotations

from torch import Tensor

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Measured, Observations, Undefined, mean_of

ACTIVE = 0.01  # Burda et al.'s threshold on the variance of the means


def kl_by_dimension(means: Tensor, log_variances: Tensor) -> Tensor:
    """KL(q(z_i|x) || N(0, 1)) in nats [N, L], in float64, of posteriors with means and log variances [N, L]."""
    means, log_variances = means.double(), log_variances.double()
    return (means.square() + log_variances.expm1() - log_variances) / 2


def ranked(values: Tensor) -> tuple[tuple[float, float], ...]:
    """Values [L] in falling order, as the points (1, largest), (2, ...) of a curve."""
    return tuple((float(rank), value) for rank, value in enumerate(values.sort(descending=True).values.tolist(), 1))


def _compute(observed: Observations) -> Values:
    codes, divergences = observed.codes.double(), kl_by_dimension(observed.codes, observed.log_variances)
    units: Measured | Undefined = Undefined("a variance needs two images")
    if len(codes) > 1:
        variances = codes.var(0)
        count = float((variances > ACTIVE).sum())
        units = Measured(count, note=f"of {codes.shape[1]}", curve=ranked(variances))
    return {"active_units": units, "posterior_kl": mean_of(divergences.sum(1), curve=ranked(divergences.mean(0)))}


METRIC = Metric(
    name="active_units",
    outputs=(
        Output(
            metric="active_units",
            label="Active units",
            unit="dimensions",
            better="none",
            minimum=0.0,
            smallest_effect=1.0,
            role="secondary",
            about="Number of latent dimensions whose mean code varies between test images (variance above 0.01).",
            topic=topics.LATENT,
            axis="latent dimension, by variance",
        ),
        Output(
            metric="posterior_kl",
            label="Posterior KL",
            unit="nats",
            better="none",
            minimum=0.0,
            smallest_effect=1.0,  # about one and a half bits per image
            role="secondary",
            about="Mean divergence of a test image's posterior from the prior: an upper bound on what a code says "
            "about its image.",
            topic=topics.LATENT,
            axis="latent dimension, by KL",
        ),
    ),
    compute=_compute,
    source="Burda et al. 2016, section 5.2",
    blind_spots="Codes on another scale than the prior's: the threshold is absolute. A dimension also counts as "
    "active if the decoder ignores it.",
)
