"""The log density of test images under a Gaussian kernel around every sample, once the usual likelihood of GANs.

Source: Breuleux et al. 2011 (Neural Computation 23(8), section 3.1), Goodfellow et al. 2014 (arXiv:1406.2661), whose
method this is: the bandwidth is the one under which validation images have the highest likelihood. Wu et al. 2017
(arXiv:1611.04273, section 5.3.2) show that it ranks decoders wrongly; it is here for comparison with older papers. It
grows with the number of samples, a million in Wu et al., and stays hundreds of nats below what annealing finds.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field
from torch import Tensor

from triptych import topics
from triptych.evaluation.likelihood import parzen
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Observations, mean_of
from triptych.spec import Frozen

BANDWIDTHS = tuple(np.geomspace(0.05, 0.5, 21).tolist())
"""The candidates, on pixels from 0 to 1: a ninth of the value apart."""


class Options(Frozen):
    """Test and validation images; as many samples as are scored."""

    images: int = Field(default=500, ge=2)
    validation_images: int = Field(default=200, ge=1)


def _densities(images: Tensor, samples: Tensor, *widths: float) -> Tensor:
    """Log densities [widths, N] on pixels from 0 to 1 of images from -1 to 1, which are not copied for that."""
    return parzen(images, samples, [2 * width for width in widths]) + images[0].numel() * math.log(2)


def _compute(observed: Observations, options: Options) -> Values:
    samples, images = observed.samples, observed.real[observed.some(options.images)]
    validation, _ = observed.validation_images(options.validation_images)
    by_width = _densities(validation, samples, *BANDWIDTHS).mean(1)
    width = BANDWIDTHS[int(by_width.argmax())]
    curve = tuple(zip(BANDWIDTHS, by_width.tolist(), strict=True))
    note = f"{len(images)} images, {len(samples)} samples, bandwidth {width:.3g}"
    return {"parzen_log_likelihood": mean_of(_densities(images, samples, width)[0], curve=curve, note=note)}


METRIC = Metric(
    name="parzen",
    outputs=(
        Output(
            metric="parzen_log_likelihood",
            label="Parzen log-likelihood",
            unit="nats",
            better="higher",
            smallest_effect=10.0,
            role="secondary",
            about="The mean log density of test images under Gaussian kernels around the samples.",
            topic=topics.LIKELIHOOD,
            axis="bandwidth",
        ),
    ),
    compute=_compute,
    options=Options,
    source="Breuleux et al. 2011, Neural Computation 23(8); Goodfellow et al. 2014, arXiv:1406.2661",
    blind_spots="Averages of digits, used as samples, score above real-looking digits (Theis et al. 2016).",
)
