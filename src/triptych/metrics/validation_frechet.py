"""Frechet distance of samples to validation images: what settings are chosen by, so that test images choose nothing."""

from __future__ import annotations

from triptych.evidence import Evidence
from triptych.metrics import Metric, Output, Values
from triptych.metrics.frechet import with_error


def _compute(evidence: Evidence) -> Values:
    return {"validation_frechet": with_error(evidence.features("validation"), evidence.features("samples"))}


METRIC = Metric(
    "validation_frechet",
    (
        Output(
            "validation_frechet", "Fréchet distance to validation images", "squared feature SD", "lower",
            smallest_effect=1.0,  # as for the Frechet distance
            family="secondary",
            about="How far the samples' features lie from those of validation images: for choosing between settings.",
            question="samples",
        ),
    ),
    _compute,
    features=True,
    source="Heusel et al. 2017, eq. 6, on validation images",
    fooled="As the Fréchet distance; of whoever was chosen by it, it is optimistic.",
)  # fmt: skip
