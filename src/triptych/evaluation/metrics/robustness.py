"""Reconstructions of test images that were rotated, scaled, dimmed, blurred, noised or occluded.

What changes the scene (rotation, scale, brightness) should be followed: the error is against the changed image. What
damages the image (blur, noise, occlusion) should be undone, and the error is against the image before the damage, as
for a denoising autoencoder. Values are means over three strengths; the curves begin at no corruption.
"""

from __future__ import annotations

import torch
from torch import Tensor

from triptych import topics
from triptych.data.transforms import background
from triptych.evaluation.corruptions import CORRUPTIONS, Corruption, corrupted, subset
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics.pixel_error import squared_errors
from triptych.evaluation.observations import Measured, Observations, mean_of

MOST = 300
WORDS = {
    "rotation": "rotated by 10 to 30 degrees",
    "scale": "made larger or smaller by 10 to 30 %",
    "brightness": "dimmed by 20 to 60 %",
    "blur": "blurred by a Gaussian of 2 to 6 % of the side",
    "noise": "under noise of 10 to 30 % of the grey range",
    "occlusion": "with a square of 20 to 40 % of the side hidden",
}


def _error(observed: Observations, name: str, chosen: Tensor, fill: Tensor, unchanged: Tensor) -> Measured:
    corruption, errors = CORRUPTIONS[name], [unchanged]
    images, labels = observed.real[chosen], observed.labels_at(chosen)
    for strength in corruption.strengths:
        changed = corrupted(images, name, strength, observed.seed, fill)
        made = observed.reconstructed(changed, labels)
        errors.append(squared_errors(images if corruption.restores else changed, made))
    values = torch.stack(errors)
    curve = tuple(zip((0.0, *corruption.strengths), values.mean(1).tolist(), strict=True))
    return mean_of(values[1:].mean(0), curve=curve)


def _compute(observed: Observations) -> Values:
    chosen, fill = subset(observed, MOST), background(observed.real)
    images = observed.real[chosen]
    unchanged = squared_errors(images, observed.reconstructed(images, observed.labels_at(chosen)))
    return {f"{name}_error": _error(observed, name, chosen, fill, unchanged) for name in WORDS}


def _output(name: str, corruption: Corruption, words: str) -> Output:
    against = "the image before it" if corruption.restores else "the changed image"
    return Output(
        metric=f"{name}_error",
        label=f"Error under {name}",
        unit="squared grey range",
        better="lower",
        scale="factor",
        smallest_effect=1.12,  # 0.5 dB, as for the reconstruction MSE
        role="secondary",
        about=f"Mean squared error of reconstructions of test images {words}, against {against}.",
        topic=topics.ROBUSTNESS,
        axis=corruption.axis,
    )


METRIC = Metric(
    name="robustness",
    outputs=tuple(_output(name, CORRUPTIONS[name], words) for name, words in WORDS.items()),
    compute=_compute,
    max_images=MOST,
    source="after Hendrycks and Dietterich 2019; for damage, Vincent et al. 2008",
    blind_spots="Every error rewards blurred reconstructions; under noise, a blurred reconstruction even restores "
    "best. Dimming brings all images nearer to black, which lowers all errors.",
)
