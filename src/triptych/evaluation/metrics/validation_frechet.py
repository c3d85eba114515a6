"""Frechet distance of samples to validation images: settings are chosen by it, so that test images choose nothing."""

from __future__ import annotations

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics.frechet import corrected
from triptych.evaluation.observations import Observations


def _compute(observed: Observations) -> Values:
    return {"validation_frechet": corrected(observed.features("validation"), observed.features("samples"))}


METRIC = Metric(
    name="validation_frechet",
    outputs=(
        Output(
            metric="validation_frechet",
            label="Fréchet distance to validation images",
            unit="squared feature SD",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # a tenth: seeds of one framework lie about that far apart
            role="secondary",
            about="How far the samples' features lie from those of validation images: for choosing between settings.",
            topic=topics.SAMPLES,
            selects_settings=True,
        ),
    ),
    compute=_compute,
    features=True,
    source="Heusel et al. 2017, eq. 6, on validation images",
    blind_spots="As the Fréchet distance. It is optimistic for settings that were chosen by it.",
)
