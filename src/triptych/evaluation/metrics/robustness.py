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
from triptych.evaluation.corruptions import PROBES, Probe, probed, subset
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.metrics.pixel_error import squared_errors
from triptych.evaluation.observations import Evidence, Measured, mean_of

MOST = 300
WORDS = {
    "rotation": "rotated by 10 to 30 degrees",
    "scale": "made larger or smaller by 10 to 30 %",
    "brightness": "dimmed by 20 to 60 %",
    "blur": "blurred by a Gaussian of 2 to 6 % of the side",
    "noise": "under noise of 10 to 30 % of the grey range",
    "occlusion": "with a square of 20 to 40 % of the side hidden",
}


def _error(evidence: Evidence, name: str, images: Tensor, fill: Tensor, unchanged: Tensor) -> Measured:
    probe, errors = PROBES[name], [unchanged]
    for strength in probe.strengths:
        changed = probed(images, name, strength, evidence.seed, fill)
        errors.append(squared_errors(images if probe.restores else changed, evidence.reconstructed(changed)))
    values = torch.stack(errors)
    curve = tuple(zip((0.0, *probe.strengths), values.mean(1).tolist(), strict=True))
    return mean_of(values[1:].mean(0), curve=curve)


def _compute(evidence: Evidence) -> Values:
    images, fill = evidence.real[subset(evidence, MOST)], background(evidence.real)
    unchanged = squared_errors(images, evidence.reconstructed(images))
    return {f"{name}_error": _error(evidence, name, images, fill, unchanged) for name in WORDS}


def _output(name: str, probe: Probe, words: str) -> Output:
    against = "the image before it" if probe.restores else "the changed image"
    return Output(
        metric=f"{name}_error",
        label=f"Error under {name}",
        unit="squared grey range",
        better="lower",
        smallest_effect=0.001,  # as for the reconstruction MSE
        role="secondary",
        about=f"Mean squared error of reconstructions of test images {words}, against {against}.",
        topic=topics.ROBUSTNESS,
        axis=probe.axis,
    )


METRIC = Metric(
    name="robustness",
    outputs=tuple(_output(name, PROBES[name], words) for name, words in WORDS.items()),
    compute=_compute,
    most=MOST,
    source="after Hendrycks and Dietterich 2019; for damage, Vincent et al. 2008",
    fooled="All reward blurred reconstructions; under noise a blur is even the better restorer. Dimming brings every "
    "image nearer to black, and with it the error of all.",
)
