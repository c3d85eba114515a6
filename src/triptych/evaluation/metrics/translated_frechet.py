"""Frechet distance of samples to shifted test images: the column "tested on translated" of a 2 x 2 table.

The test images are shifted at random, uniformly up to 20 % of the side both ways unless options say otherwise, as
training images are with `training.translate = 0.2`, and filled with background. It needs no encoder. Together
with `frechet_distance`, the column "tested on centred", it shows for every framework which law it has learned.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from triptych import topics
from triptych.data.transforms import background, random_translate
from triptych.evaluation.corruptions import SHIFTS, subset
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics.frechet import corrected
from triptych.evaluation.observations import Observations
from triptych.rng import stream
from triptych.spec import Frozen

PART = 1000  # images shifted at a time


class Options(Frozen):
    """The largest shift, in shares of the side, as that of `training.translate`."""

    share: float = Field(default=max(SHIFTS), gt=0, le=0.5)


def _compute(observed: Observations, options: Options) -> Values:
    order, fill = subset(observed, len(observed.real)), background(observed.real)  # all, in an order of their own
    generator = stream(observed.seed, "probe/anywhere")
    shifted = (random_translate(observed.real[part], options.share, generator, fill) for part in order.split(PART))
    features = np.concatenate([observed.features_of_shared(part) for part in shifted])
    return {"translated_frechet": corrected(features, observed.features("samples"))}


METRIC = Metric(
    name="translated_frechet",
    outputs=(
        Output(
            metric="translated_frechet",
            label="Fréchet distance to shifted images",
            unit="squared feature SD",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # a tenth: seeds of one framework lie about that far apart
            role="secondary",
            about="How far the samples' features lie from those of test images shifted by up to 20 % of the "
            "side, unless the study's options say otherwise.",
            topic=topics.TRANSLATION,
            unshifted="frechet_distance",
        ),
    ),
    compute=_compute,
    features=True,
    options=Options,
    source="Heusel et al. 2017, eq. 6, on shifted images",
    blind_spots="After training on centred images it is low only if the features do not see shifts.",
)
