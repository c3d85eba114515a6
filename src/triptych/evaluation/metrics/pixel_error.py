"""Reconstruction error by pixel: mean squared error and peak signal-to-noise ratio, on pixels from 0 to 1.

The MSE is the mean over images, channels and pixels. The PSNR is -10 log10(MSE) of each image, averaged over
images, as in image-coding practice. An image has at most 60 dB, so that one reconstructed perfectly does not make the
mean infinite: the limit for 8 bits in libvmaf, and about that of rounding to 8 bits, 58.9. The note counts such images.
Reconstructions are taken as the framework gives them, not rounded to 8 bits.
"""

from __future__ import annotations

import torch

from triptych import topics
from triptych.evaluation.features import BATCH
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Observations, mean_of

BEST = 60.0  # dB


def squared_errors(images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Mean squared errors [B], in float64 on the scale [0, 1], of images [B, C, H, W] in [-1, 1]."""
    pairs = zip(images.split(BATCH), others.split(BATCH), strict=True)
    return torch.cat([((x.double() - y.double()) / 2).square().mean((1, 2, 3)) for x, y in pairs])


def _compute(observed: Observations) -> Values:
    errors = squared_errors(observed.real, observed.reconstructions)
    ratios = -10 * errors.log10()  # infinite for a perfect image
    beyond = int((ratios > BEST).sum())
    note = f"{beyond} of {len(ratios)} images above {BEST:g} dB, counted as {BEST:g}" if beyond else ""
    return {"reconstruction_mse": mean_of(errors), "psnr": mean_of(ratios.clamp(max=BEST), note=note)}


METRIC = Metric(
    name="pixel_error",
    outputs=(
        Output(
            metric="reconstruction_mse",
            label="Reconstruction MSE",
            unit="squared grey range",
            better="lower",
            scale="factor",
            smallest_effect=1.12,  # 0.5 dB, the step usually held to be visible in image coding
            role="primary",
            about="Mean squared pixel error of reconstructed test images, with pixels from 0 to 1.",
            topic=topics.RECONSTRUCTION,
        ),
        Output(
            metric="psnr",
            label="PSNR",
            unit="dB",
            better="higher",
            smallest_effect=0.5,  # the step usually held to be visible in image coding
            role="secondary",
            about="Peak signal-to-noise ratio of reconstructed test images, at most 60 for each.",
            topic=topics.RECONSTRUCTION,
        ),
    ),
    compute=_compute,
    source="Wang and Bovik 2009",
    blind_spots="Blur, which it prefers to a sharp image that is half a pixel off; a shift can cost more than "
    "another digit.",
)
