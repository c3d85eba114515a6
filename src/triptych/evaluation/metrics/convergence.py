"""How fast a run gets good: its scores over the course of training, at the moments whose weights were kept.

`training.snapshots` says at how many evenly spaced moments that is. The value is the mean over these moments, which is
the area under the learning curve in units of the budget. Its curve shows when a stated score was first reached, which
is where DAWNBench (Coleman et al. 2017) stops the clock.

The Frechet distance is that of few samples here, corrected for its bias as `frechet_distance` is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values, value_or_reason
from triptych.evaluation.metrics.frechet import corrected
from triptych.evaluation.metrics.pixel_error import squared_errors
from triptych.evaluation.observations import Measured, Observations
from triptych.spec import Frozen


class Options(Frozen):
    """Samples and test images that are looked at, each moment."""

    images: int = Field(default=1000, ge=50)


def _over(observed: Observations, score: Callable[[Observations], float], n: int) -> Measured:
    """The mean of a score of n images over the moments, with the curve over them."""
    if not observed.history:
        raise ValueError("no weights were kept during training (training.snapshots)")
    # One moment at a time, so that the networks of one moment are in memory, not those of all.
    curve = tuple((float(images), score(observed.history[images])) for images in sorted(observed.history))
    return Measured(float(np.mean([value for _, value in curve])), curve=curve, n=n)


def _compute(observed: Observations, options: Options) -> Values:
    chosen = observed.some(options.images)

    def frechet(then: Observations) -> float:
        return corrected(observed.features("real"), observed.extractor(then.sample(len(chosen)))).value

    def error(then: Observations) -> float:
        images = observed.real[chosen]
        return float(squared_errors(images, then.reconstructed(images, observed.labels_at(chosen))).mean())

    return {
        "frechet_convergence": value_or_reason(lambda: _over(observed, frechet, len(chosen))),
        "mse_convergence": value_or_reason(lambda: _over(observed, error, len(chosen))),
    }


METRIC = Metric(
    name="convergence",
    outputs=(
        Output(
            metric="frechet_convergence",
            label="Fréchet distance over training",
            unit="squared feature SD",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # a tenth: seeds of one framework lie about that far apart
            role="secondary",
            about="The Fréchet distance of few samples, averaged over evenly spaced moments of training.",
            topic=topics.CONVERGENCE,
            axis="training images",
        ),
        Output(
            metric="mse_convergence",
            label="Reconstruction MSE over training",
            unit="squared grey range",
            better="lower",
            scale="factor",
            smallest_effect=1.12,  # 0.5 dB, the step usually held to be visible in image coding
            role="secondary",
            about="The reconstruction MSE of test images, averaged over evenly spaced moments of training.",
            topic=topics.CONVERGENCE,
            axis="training images",
        ),
    ),
    compute=_compute,
    features=("frechet_convergence",),
    options=Options,
    source="after Coleman et al. 2017 (DAWNBench), time to a stated score",
    blind_spots="A run that is good early and breaks down at the end still has a good average: look at the curve.",
)
