"""Sharpness: the gradient energy of samples over that of real images.

The energy is the mean squared difference of neighbouring pixels, across and down. A ratio below 1 is blur,
above 1 noise or hardened edges; 1 is right, so the ratio itself has no better direction and its distance from
1, in doublings (|log2 ratio|), has. It is a ratio of means: an average over all images, that noise can hide
blur in.

Standard errors by the delta method, from the spread over samples and over real images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from triptych.evidence import Evidence, Measured, Undefined, mean_of
from triptych.features import BATCH
from triptych.metrics import Metric, Output, Values
from triptych.metrics._arrays import doublings


def gradient_energy(images: Tensor) -> Measured:
    """The mean squared difference of neighbouring pixels of images [B, C, H, W], in float64."""
    return mean_of(torch.cat([_energies(part.double()) for part in images.split(BATCH)]))


def _energies(images: Tensor) -> Tensor:
    """The gradient energy of each image [B]."""
    return images.diff(dim=3).square().mean((1, 2, 3)) + images.diff(dim=2).square().mean((1, 2, 3))


def _compute(evidence: Evidence) -> Values:
    real, samples = gradient_energy(evidence.real), gradient_energy(evidence.samples)
    if real.value == 0:
        reason = Undefined("the real images have no edges")
        return {"sharpness": reason, "sharpness_gap": reason}
    ratio = samples.value / real.value
    error = None
    if samples.error is not None and real.error is not None:
        error = math.hypot(samples.error, ratio * real.error) / real.value
    gap = doublings(samples, real) if ratio > 0 else Undefined("the samples have no edges")
    return {"sharpness": Measured(ratio, error), "sharpness_gap": gap}


METRIC = Metric(
    "sharpness",
    (
        Output(
            "sharpness", "Sharpness", "ratio", "none",
            smallest_effect=0.05,  # a twentieth of the energy of real images
            family="secondary",
            about="Gradient energy of samples over that of real test images: below 1 blur, above 1 noise.",
            question="samples",
        ),
        Output(
            "sharpness_gap", "Sharpness gap", "doublings", "lower",
            smallest_effect=0.1,  # 7 % of the energy
            family="secondary",
            about="Doublings or halvings of the samples' gradient energy that would match real test images.",
            question="samples",
        ),
    ),
    _compute,
    source="this project",
    fooled="Noise in blurred samples, which gives back the energy that blur takes.",
)  # fmt: skip
