"""Who copes with translation: test images shifted by 5 to 20 % of the side, encoded and reconstructed.

Every image has its own direction, drawn from eight (the larger of its two shifts is the share in question), the same
at every share and for every framework of a seed; the free area is background. Reconstructions should be equivariant:
they should show the shifted image. Codes are tested for invariance. Values are means over the four shifts.

    code_distance = |m(shifted x) - m(x)|^2 / mean of |m(x) - m(y)|^2 over pairs of different test images,

with m the mean of q(z|x). The denominator is twice the sum of the codes' variances (ddof = 1).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from triptych import topics
from triptych.data.transforms import background, random_translate
from triptych.evaluation.corruptions import CORRUPTIONS, SHIFTS, corrupted, subset
from triptych.evaluation.metrics import Metric, Output, Values, value_or_reason
from triptych.evaluation.metrics.pixel_error import squared_errors
from triptych.evaluation.observations import Measured, Observations, Undefined, mean_of, ratio_of_means
from triptych.rng import stream
from triptych.spec import Frozen

MOST = 600


class Options(Frozen):
    """The largest shift of `translated_mse`, in shares of the side, as that of `training.translate`."""

    share: float = Field(default=max(SHIFTS), gt=0, le=0.5)


SHARES = (0.0, *SHIFTS)


def _over_shifts(values: Tensor, note: str = "") -> Measured:
    """The mean over images and shifts of values [shares, N], with the curve over all shares."""
    curve = tuple(zip(SHARES, values.mean(1).tolist(), strict=True))
    return mean_of(values[1:].mean(0), curve=curve, note=note)


def _code_distance(observed: Observations, moved: list[Tensor], labels: Tensor | None) -> Measured:
    codes = [observed.codes_of(images, labels).double() for images in moved]
    if len(codes[0]) < 2:
        raise ValueError("a distance between images needs two")
    scale = 2 * codes[0].var(0).sum()
    if scale == 0:
        raise ValueError("all images have the same code")
    return _over_shifts(torch.stack([(code - codes[0]).square().sum(1) for code in codes]) / scale)


def _classes(observed: Observations, features: np.ndarray) -> Tensor:
    return torch.from_numpy(observed.classified(features).argmax(1))


def _agreement(observed: Observations, moved: list[Tensor], made: list[Tensor]) -> Measured:
    shown, *seen = (_classes(observed, observed.features_of_shared(images)) for images in moved)
    attainable = (torch.stack(seen) == shown).double().mean()
    agreed = torch.stack([_classes(observed, observed.extractor(images)) for images in made]) == shown
    return _over_shifts(agreed.double(), f"of the shifted images themselves {float(attainable):.3f}")


def _compute(observed: Observations, options: Options) -> Values:
    chosen, fill = subset(observed, MOST), background(observed.real)
    images, labels = observed.real[chosen], observed.labels_at(chosen)
    moved = [corrupted(images, "translation", share, observed.seed, fill) for share in SHARES]
    made = [observed.reconstructed(shifted, labels) for shifted in moved]
    errors = torch.stack([squared_errors(*pair) for pair in zip(moved, made, strict=True)])
    anywhere = random_translate(images, options.share, stream(observed.seed, "probe/anywhere"), fill)
    growth = Undefined("unshifted images are reconstructed perfectly")
    if errors[0].sum() > 0:
        growth = ratio_of_means(errors[1:].mean(0), errors[0])
    return {
        "translation_error": _over_shifts(errors),
        "translation_growth": growth,
        "translated_mse": mean_of(squared_errors(anywhere, observed.reconstructed(anywhere, labels))),
        "code_distance": value_or_reason(partial(_code_distance, observed, moved, labels)),
        "translation_agreement": value_or_reason(partial(_agreement, observed, moved, made)),
    }


_AXIS = CORRUPTIONS["translation"].axis

METRIC = Metric(
    name="translation",
    outputs=(
        Output(
            metric="translation_error",
            label="Error when shifted",
            unit="squared grey range",
            better="lower",
            scale="factor",
            smallest_effect=1.12,  # 0.5 dB, the step usually held to be visible in image coding
            role="primary",
            about="Mean squared error of reconstructions of test images shifted by 5 to 20 % of the side, against "
            "the shifted images.",
            topic=topics.TRANSLATION,
            axis=_AXIS,
        ),
        Output(
            metric="translation_growth",
            label="Growth when shifted",
            unit="ratio",
            better="lower",
            scale="factor",
            smallest_effect=1.1,  # a tenth of the unshifted error
            role="secondary",
            about="Reconstruction error of shifted test images over that of the same images unshifted.",
            topic=topics.TRANSLATION,
        ),
        Output(
            metric="translated_mse",
            label="MSE on shifted images",
            unit="squared grey range",
            better="lower",
            scale="factor",
            smallest_effect=1.12,  # 0.5 dB, the step usually held to be visible in image coding
            role="secondary",
            about="Reconstruction MSE on test images shifted at random as translated training images are, both ways "
            "by up to 20 % of the side, unless the study's options say otherwise.",
            topic=topics.TRANSLATION,
            unshifted="reconstruction_mse",
        ),
        Output(
            metric="code_distance",
            label="Code shift",
            unit="ratio",
            better="none",  # an invariant code cannot be equivariant, too
            scale="factor",
            smallest_effect=1.1,  # a tenth of the distance
            role="secondary",
            about="How far a shift of 5 to 20 % moves an image's code: 0 not at all, 1 as far as to another image's.",
            topic=topics.TRANSLATION,
            axis=_AXIS,
        ),
        Output(
            metric="translation_agreement",
            label="Agreement when shifted",
            unit="share",
            better="higher",
            scale="share",
            smallest_effect=0.02,  # two images in a hundred
            role="secondary",
            about="Share of shifted test images whose reconstruction shows the class of the original.",
            topic=topics.TRANSLATION,
            axis=_AXIS,
        ),
    ),
    compute=_compute,
    features=("translation_agreement",),
    max_images=MOST,
    options=Options,
    source="after the translation experiment of VAE vs GAN vs VAE-GAN (University of Toronto, 2021)",
    blind_spots="The error rewards blur, and its growth rewards a framework that reconstructs unshifted images "
    "badly. A classifier that is sensitive to shifts limits the agreement: the note says by how much.",
)
