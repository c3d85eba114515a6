"""What reconstruction does to meaning: distance in features, and whether the classifier reads the same class.

`feature_error` is the mean over images of the squared Euclidean distance between the features of a test image and of
its reconstruction (Dosovitskiy and Brox 2016, with this project's features). No pairing of two sets can cost
less than their squared Wasserstein distance, so, but for a factor n/(n-1), it
bounds the Frechet distance of the reconstructions from above.

`class_agreement` is the share of test images whose reconstruction has the same likeliest class as the image itself
has, right or wrong: labels are not used.
"""

from __future__ import annotations

import numpy as np

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import checked
from triptych.evaluation.observations import Observations, Undefined, mean_of


def feature_errors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances [N] between the rows of features x [N, d] and y [N, d]."""
    x, y = (checked(each, 1, "there are no images") for each in (x, y))
    return np.square(x - y).sum(1)


def _compute(observed: Observations) -> Values:
    errors = feature_errors(observed.features("real"), observed.features("reconstructions"))
    try:
        real, read = (observed.probabilities(of).argmax(1) for of in ("real", "reconstructions"))
    except ValueError as error:
        return {"feature_error": mean_of(errors), "class_agreement": Undefined(str(error))}
    return {"feature_error": mean_of(errors), "class_agreement": mean_of(real == read)}


METRIC = Metric(
    name="perceptual",
    outputs=(
        Output(
            metric="feature_error",
            label="Feature error",
            unit="squared feature SD",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # a tenth: seeds of one framework lie about that far apart
            role="secondary",
            about="Mean squared distance, in features, of reconstructed test images from the originals.",
            topic=topics.RECONSTRUCTION,
        ),
        Output(
            metric="class_agreement",
            label="Class agreement",
            unit="share",
            better="higher",
            scale="share",
            smallest_effect=0.01,  # one image in a hundred
            role="secondary",
            about="Share of test images whose reconstruction the classifier takes for the same class.",
            topic=topics.RECONSTRUCTION,
        ),
    ),
    compute=_compute,
    features=True,
    source="Dosovitskiy and Brox 2016",
    blind_spots="Another image of the same class, which has nearly the same features.",
)
