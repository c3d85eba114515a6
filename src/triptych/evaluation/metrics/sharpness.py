"""Sharpness: the gradient energy of samples, and of reconstructions, over that of real images.

The energy is the mean squared difference of neighbouring pixels, across and down. A ratio below 1 is blur,
above 1 noise or hardened edges; 1 is right, so the ratio itself has no better direction. Its distance from 1,
in doublings (|log2 ratio|), has one. It is a ratio of means over all images, so noise in some can hide blur in
others.

Standard errors by the delta method, from the spread over samples and over real images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from triptych import topics
from triptych.evaluation.features import BATCH
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics._arrays import doublings
from triptych.evaluation.observations import Measured, Observations, Undefined, mean_of


def gradient_energy(images: Tensor) -> Measured:
    """The mean squared difference of neighbouring pixels of images [B, C, H, W], in float64."""
    return mean_of(torch.cat([_energies(part.double()) for part in images.split(BATCH)]))


def _energies(images: Tensor) -> Tensor:
    """The gradient energy of each image [B]."""
    return images.diff(dim=3).square().mean((1, 2, 3)) + images.diff(dim=2).square().mean((1, 2, 3))


def _compute(observed: Observations) -> Values:
    real = gradient_energy(observed.real)
    reconstructions: Measured | Undefined
    try:
        reconstructions = gradient_energy(observed.reconstructions)
    except ValueError as reason:
        reconstructions = Undefined(str(reason))
    return {
        **_against(real, gradient_energy(observed.samples), "sharpness", "samples"),
        **_against(real, reconstructions, "reconstruction_sharpness", "reconstructions"),
    }


def _against(real: Measured, made: Measured | Undefined, name: str, what: str) -> Values:
    """The ratio of two energies and its distance from 1, under `name` and `name`_gap."""
    if isinstance(made, Undefined) or real.value == 0:
        reason = made if isinstance(made, Undefined) else Undefined("the real images have no edges")
        return {name: reason, f"{name}_gap": reason}
    ratio, error = made.value / real.value, None
    if made.error is not None and real.error is not None:
        error = math.hypot(made.error, ratio * real.error) / real.value
    gap = doublings(made, real) if ratio > 0 else Undefined(f"the {what} have no edges")
    return {name: Measured(ratio, error), f"{name}_gap": gap}


METRIC = Metric(
    name="sharpness",
    outputs=(
        Output(
            metric="sharpness",
            label="Sharpness",
            unit="ratio",
            better="none",
            scale="factor",
            smallest_effect=1.05,  # a twentieth of the energy
            role="secondary",
            about="Gradient energy of samples over that of real test images: below 1 blur, above 1 noise.",
            topic=topics.SAMPLES,
        ),
        Output(
            metric="sharpness_gap",
            label="Sharpness gap",
            unit="doublings",
            better="lower",
            minimum=0.0,
            smallest_effect=0.1,  # 7 % of the energy
            role="secondary",
            about="How often the samples' gradient energy must be doubled or halved to match real test images.",
            topic=topics.SAMPLES,
        ),
        Output(
            metric="reconstruction_sharpness",
            label="Sharpness of reconstructions",
            unit="ratio",
            better="none",
            scale="factor",
            smallest_effect=1.05,  # as above
            role="secondary",
            about="Gradient energy of reconstructions over that of the test images: below 1 blur, above 1 noise.",
            topic=topics.RECONSTRUCTION,
        ),
        Output(
            metric="reconstruction_sharpness_gap",
            label="Sharpness gap of reconstructions",
            unit="doublings",
            better="lower",
            minimum=0.0,
            smallest_effect=0.1,  # as above
            role="secondary",
            about="How often the reconstructions' gradient energy must be doubled or halved to match the test images.",
            topic=topics.RECONSTRUCTION,
        ),
    ),
    compute=_compute,
    source="this project",
    blind_spots="Noise in blurred samples, which adds the energy that blur removes.",
)
