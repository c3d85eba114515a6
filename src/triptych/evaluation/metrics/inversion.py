"""Reconstruction by latent inversion, which every decoder allows: so a GAN is in the same table.

These are the reconstruction metrics, with the encoder's code replaced by the latent that gradient descent finds
(`triptych.evaluation.inversion`). Compare inverted values with inverted ones only: with no regulariser and as many
steps as here, inversion finds images that no encoder would.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from triptych import topics
from triptych.evaluation.corruptions import subset
from triptych.evaluation.inversion import invert
from triptych.evaluation.metrics import Metric, Output, Values, value_or_reason
from triptych.evaluation.metrics.pixel_error import squared_errors
from triptych.evaluation.metrics.ssim import similarities
from triptych.evaluation.observations import Observations, mean_of
from triptych.spec import Frozen


class Options(Frozen):
    """The budget: images, starts of each, steps of the best start (all take a sixth of that before), Adam's rate."""

    images: int = Field(default=64, ge=1)
    restarts: int = Field(default=4, ge=1, le=256)
    steps: int = Field(default=150, ge=6)
    rate: float = Field(default=0.1, gt=0)


def _compute(observed: Observations, options: Options) -> Values:
    decode = observed.decoder()
    chosen = subset(observed, options.images)
    images = observed.real[chosen]
    budget = options.restarts, options.steps, options.rate
    latents = invert(decode, images, observed.latent, observed.seed, *budget)
    made = observed.decoded(latents)
    x, y = observed.features_of_shared(images), observed.extractor(made)
    agreement = value_or_reason(lambda: mean_of(observed.classified(x).argmax(1) == observed.classified(y).argmax(1)))
    length = float(latents.double().square().mean())
    note = f"{len(images)} images, best of {options.restarts} starts, {options.steps} steps; |z|^2/L {length:.2f}"
    if observed.reconstruct is not None:
        encoded = observed.reconstructed(images, observed.labels_at(chosen))
        note += f"; by the encoder {float(squared_errors(images, encoded).mean()):.4f}"
    return {
        "inverted_mse": mean_of(squared_errors(images, made), note=note),
        "inverted_ssim": mean_of(similarities(images, made)),
        "inverted_feature_error": mean_of(np.square(x - y).sum(1)),
        "inverted_agreement": agreement,
    }


METRIC = Metric(
    name="inversion",
    outputs=(
        Output(
            metric="inverted_mse",
            label="Inverted MSE",
            unit="squared grey range",
            better="lower",
            scale="factor",
            smallest_effect=1.12,  # 0.5 dB, the step usually held to be visible in image coding
            role="secondary",
            about="Mean squared error of test images against the nearest that gradient descent on latents finds.",
            topic=topics.RECONSTRUCTION,
        ),
        Output(
            metric="inverted_ssim",
            label="Inverted SSIM",
            unit="similarity",
            better="higher",
            maximum=1.0,
            smallest_effect=0.01,
            role="secondary",
            about="Structural similarity of test images to the nearest that gradient descent on latents finds.",
            topic=topics.RECONSTRUCTION,
        ),
        Output(
            metric="inverted_feature_error",
            label="Inverted feature error",
            unit="squared feature SD",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # a tenth: seeds of one framework lie about that far apart
            role="secondary",
            about="Squared distance in features of test images to the nearest that gradient descent on latents finds.",
            topic=topics.RECONSTRUCTION,
        ),
        Output(
            metric="inverted_agreement",
            label="Inverted agreement",
            unit="share",
            better="higher",
            scale="share",
            smallest_effect=0.02,
            role="secondary",
            about="Share of test images that show the same class after inversion.",
            topic=topics.RECONSTRUCTION,
        ),
    ),
    compute=_compute,
    features=("inverted_feature_error", "inverted_agreement"),
    max_images=Options().images,
    options=Options,
    source="Lipton and Tripathi 2017; Creswell and Bharath 2018",
    blind_spots="Latents far from the prior, where no sample comes from: see |z|^2/L in the note, which is 1 under "
    "the prior. A decoder that is hard to optimise through looks worse than it is, and a larger budget helps it.",
)
