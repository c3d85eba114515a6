"""Frechet distance of reconstructions, rFD; with Inception features, the rFID of papers on autoencoders.

Source: Heusel et al. 2017, eq. 6, between the features of real test images and of their reconstructions; reported for
autoencoders since Esser et al. 2021 (arXiv:2012.09841). It says whether reconstructions look like real images as a set,
where errors in pixels say whether each is like its own: blur costs more here, and a detail in another place less.

Corrected for its bias, and with a standard error, as for samples; an image and its reconstruction go together in both,
since they are no independent sets. For perfect reconstructions it is 0, as is the distance. Image by image the distance
in features is `feature_error`, which bounds the uncorrected one from above but for a factor n/(n-1).
"""

from __future__ import annotations

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics.frechet import corrected
from triptych.evaluation.observations import Observations


def _compute(observed: Observations) -> Values:
    real = observed.features("real")
    if len(real) > 1 and bool((real == real[0]).all()):
        raise ValueError("all real images have the same features")
    return {"reconstruction_frechet": corrected(real, observed.features("reconstructions"), are_pairs=True)}


METRIC = Metric(
    name="reconstruction_frechet",
    outputs=(
        Output(
            metric="reconstruction_frechet",
            label="Fréchet distance of reconstructions",
            unit="squared feature SD",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # a tenth, as of samples: seeds of one framework lie about that far apart
            role="secondary",
            about="How far the features of reconstructed test images lie from those of the originals, in mean and "
            "covariance.",
            topic=topics.RECONSTRUCTION,
        ),
    ),
    compute=_compute,
    features=True,
    per_feature_space=True,
    source="Heusel et al. 2017, eq. 6, on reconstructions",
    blind_spots="Reconstructions of other images than the given ones: exchanging them changes nothing.",
)
