"""Which classes the samples show, by the classifier's likeliest class: shares, entropy, what is missing.

The entropy is highest when all classes are equally frequent. Real data may not be like that; `class_distance`, the
total variation from the shares that the same classifier sees in real test images, is the fair measure then. It is not
zero for real images: two real sets of n images in K classes of p differ by about sqrt(p (1 - p) / (pi n)) in each,
together 0.017 for ten even classes and n = 10,000.

Standard errors: of a share binomial; of entropy and distance by the delta method; of the number of classes shown from
the normal chance of each class to pass its threshold.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import checked
from triptych.evaluation.observations import Measured, Observations

RARE = 0.1  # a class counts as shown from this fraction of its real share on


def entropy(shares: np.ndarray, n: int) -> Measured:
    """The entropy in bits of shares [K] that sum to 1, seen in n images."""
    bits = -np.log2(shares, where=shares > 0, out=np.zeros(len(shares)))
    value = float((shares * bits).sum()) + 0.0  # not -0.0
    return Measured(value, _error(shares, bits, n))


def distance(shares: np.ndarray, n: int, expected: np.ndarray, m: int) -> Measured:
    """The total variation of shares [K] seen in n images from those expected, seen in m."""
    side = np.sign(shares - expected) / 2
    return Measured(
        float((shares - expected) @ side), float(np.hypot(_error(shares, side, n), _error(expected, side, m)))
    )


def are_shown(shares: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Which classes [K] have at least a tenth of the expected share; an exact tenth counts, whatever its rounding."""
    return (expected > 0) & (shares >= RARE * expected - 1e-12)


def shown(shares: np.ndarray, n: int, expected: np.ndarray) -> Measured:
    """The number of classes whose share among n images is at least a tenth of the expected one."""
    errors = np.sqrt(shares * (1 - shares) / n).clip(1e-12)
    chance = ndtr((shares - RARE * expected) / errors) * (expected > 0)
    return Measured(float(are_shown(shares, expected).sum()), float(np.sqrt((chance * (1 - chance)).sum())))


def _error(shares: np.ndarray, values: np.ndarray, n: int) -> float:
    """The standard error of a mean over n images, of values [K] by class."""
    return float(np.sqrt(max(shares @ values**2 - (shares @ values) ** 2, 0.0) / n))


def _shares(probabilities: np.ndarray) -> np.ndarray:
    probabilities = checked(probabilities, 1, "there are no images")
    return np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1]) / len(probabilities)


def _compute(observed: Observations) -> Values:
    samples, real = observed.probabilities("samples"), observed.probabilities("real")
    shares, expected, n = _shares(samples), _shares(real), len(samples)
    each = enumerate(shares)
    return {
        "class_entropy": entropy(shares, n),
        "class_distance": distance(shares, n, expected, len(real)),
        "classes_shown": shown(shares, n, expected),
        **{f"class_share_{i}": Measured(float(p), float(np.sqrt(p * (1 - p) / n))) for i, p in each},
    }


METRIC = Metric(
    name="class_shares",
    outputs=(
        Output(
            metric="class_entropy",
            label="Class entropy",
            unit="bits",
            better="higher",
            minimum=0.0,
            smallest_effect=0.05,  # of ten even classes, losing one costs 0.15 bits
            role="secondary",
            about="Entropy of the samples' classes; it is log2 of their number when all are equally frequent.",
            topic=topics.DIVERSITY,
        ),
        Output(
            metric="class_distance",
            label="Class distance",
            unit="share",
            better="lower",
            scale="share",
            smallest_effect=0.02,  # two samples in a hundred would have to change their class
            role="secondary",
            about="Share of samples that must change class to match the classes of real test images.",
            topic=topics.DIVERSITY,
        ),
        Output(
            metric="classes_shown",
            label="Classes shown",
            unit="classes",
            better="higher",
            minimum=0.0,
            smallest_effect=0.5,  # half a class, on the average over seeds
            role="secondary",
            about="Number of classes that make up at least a tenth of their real share among the samples.",
            topic=topics.DIVERSITY,
        ),
    ),
    compute=_compute,
    features=True,
    source="this project; shares of bins are compared by Richardson and Weiss 2018",
    blind_spots="Lack of variety within a class, and images of no class at all, which the classifier still assigns "
    "to one.",
    per_class=Output(
        metric="class_share_{index}",
        label="Share of {name}",
        unit="share",
        better="none",
        scale="share",
        smallest_effect=0.02,
        role="secondary",
        about="Share of samples that the classifier takes for {name}.",
        topic=topics.DIVERSITY,
    ),
)
