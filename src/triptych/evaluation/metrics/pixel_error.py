"""Reconstruction error by pixel: mean squared error and peak signal-to-noise ratio, on pixels from 0 to 1.

The MSE is the mean over images, channels and pixels. The PSNR is -10 log10(MSE) of each image, averaged over
images, as in image-coding practice. Reconstructions are taken as the framework gives them, not rounded to 8
bits.
"""

from __future__ import annotations

import torch

from triptych import topics
from triptych.evaluation.features import BATCH
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Observations, Undefined, mean_of


def squared_errors(images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Mean squared errors [B], in float64 on the scale [0, 1], of images [B, C, H, W] in [-1, 1]."""
    pairs = zip(images.split(BATCH), others.split(BATCH), strict=True)
    return torch.cat([((x.double() - y.double()) / 2).square().mean((1, 2, 3)) for x, y in pairs])


def _compute(observed: Observations) -> Values:
    errors = squared_errors(observed.real, observed.reconstructions)
    psnr = Undefined("some image is reconstructed perfectly") if bool((errors == 0).any()) else None
    return {
        "reconstruction_mse": mean_of(errors),
        "psnr": psnr or mean_of(-10 * errors.log10()),
    }


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
            about="Peak signal-to-noise ratio of reconstructed test images.",
            topic=topics.RECONSTRUCTION,
        ),
    ),
    compute=_compute,
    source="Wang and Bovik 2009",
    blind_spots="Blur, which it prefers to a sharp image that is half a pixel off; a shift can cost more than "
    "another digit.",
)
