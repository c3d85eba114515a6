"""Which classes the samples show, by the classifier's likeliest class: shares, entropy, what is missing.

The entropy is highest when all classes are equally frequent. Real data need not be so; `class_distance`, the
total variation from the shares that the same classifier sees in real test images, is the fair measure where
they are not.
"""

from __future__ import annotations

import numpy as np

from triptych.evidence import Evidence, Undefined
from triptych.metrics import Metric, Output

RARE = 0.1  # a class counts as shown from this fraction of its real share on


def entropy(shares: np.ndarray) -> float:
    """The entropy in bits of shares [K] that sum to 1."""
    seen = shares[shares > 0]
    return float(-(seen * np.log2(seen)).sum()) + 0.0  # not -0.0


def _shares(probabilities: np.ndarray) -> np.ndarray:
    return np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1]) / len(probabilities)


def _compute(evidence: Evidence) -> dict[str, float | Undefined]:
    samples, real = evidence.probabilities("samples"), evidence.probabilities("real")
    if isinstance(samples, Undefined) or isinstance(real, Undefined):
        reason = samples if isinstance(samples, Undefined) else real
        assert isinstance(reason, Undefined)
        return {output.metric: reason for output in METRIC.outputs}
    shares, expected = _shares(samples), _shares(real)
    return {
        "class_entropy": entropy(shares),
        "class_distance": float(np.abs(shares - expected).sum() / 2),
        "classes_shown": float(((expected > 0) & (shares >= RARE * expected)).sum()),
        **{f"class_share_{i}": float(share) for i, share in enumerate(shares)},
    }


METRIC = Metric(
    "class_shares",
    (
        Output(
            "class_entropy", "Class entropy", "bits", "higher",
            smallest_effect=0.05,  # of ten even classes, losing one costs 0.15 bits
            family="secondary",
            about="Entropy of the samples' classes: log2 of their number when all are equally frequent.",
            question="diversity",
        ),
        Output(
            "class_distance", "Class distance", "share", "lower",
            smallest_effect=0.02,  # two samples in a hundred would have to change their class
            family="secondary",
            about="Share of samples that must change class to match the classes of real test images.",
            question="diversity",
        ),
        Output(
            "classes_shown", "Classes shown", "classes", "higher",
            smallest_effect=0.5,  # half a class, on the average over seeds
            family="secondary",
            about="Number of classes that make up at least a tenth of their real share among the samples.",
            question="diversity",
        ),
    ),
    _compute,
    features=True,
    per_class=Output(
        "class_share_{index}", "Share of {name}", "share", "none",
        smallest_effect=0.02,
        family="secondary",
        about="Share of samples that the classifier takes for {name}.",
        question="diversity",
    ),
)  # fmt: skip
