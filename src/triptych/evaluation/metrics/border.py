"""Grey edges: the share of border pixels that are not background, of samples and of reconstructions.

Shifting an image that is already scaled to [-1, 1] and filling the free area with 0 gives it a grey frame (the boxes
of the paper's Figure 2b). A framework that is trained on such images learns the frame with the digit. Here the
outermost ring of pixels is compared with the background of the real images, their median border value: a pixel counts
if any of its channels is more than a tenth of the grey range away.

Samples show whether the frame has become part of what is generated. Reconstructions are of test images shifted both
ways by up to `share` of the side; with `fill` the free pixels get that value, as in training with
`training.translate_fill`, so that a framework must reconstruct the frame that it was trained on.
"""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from triptych import topics
from triptych.data.transforms import background, random_translate
from triptych.evaluation.corruptions import subset
from triptych.evaluation.features import BATCH
from triptych.evaluation.metrics import Metric, Output, Values, value_or_reason
from triptych.evaluation.observations import Measured, Observations, mean_of
from triptych.rng import stream
from triptych.spec import Frozen

FAR = 0.2  # of the range from -1 to 1
MOST = 600


class Options(Frozen):
    """The largest shift of the images to reconstruct, in shares of the side, and what fills the freed pixels, from -1
    to 1; None is background.
    """

    share: float = Field(default=0.1, gt=0, le=0.5)
    fill: float | None = Field(default=None, ge=-1, le=1)


def border_shares(images: Tensor, ground: Tensor) -> Tensor:
    """The share [B] of the border pixels of images [B, C, H, W] that are further than `FAR` from ground [C, 1, 1]."""
    ring = torch.ones(images.shape[2:], dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    far = [((part - ground).abs() > FAR).any(1)[:, ring] for part in images.split(BATCH)]
    return torch.cat(far).double().mean(1)


def _reconstructed(observed: Observations, options: Options, ground: Tensor) -> Measured:
    fill = ground if options.fill is None else options.fill
    chosen = subset(observed, MOST)
    images = observed.real[chosen]
    shifted = random_translate(images, options.share, stream(observed.seed, "probe/anywhere"), fill)
    note = f"of the shifted images themselves {float(border_shares(shifted, ground).mean()):.3f}"
    return mean_of(border_shares(observed.reconstructed(shifted, observed.labels_at(chosen)), ground), note=note)


def _compute(observed: Observations, options: Options) -> Values:
    ground = background(observed.real)
    return {
        "grey_border": mean_of(border_shares(observed.samples, ground)),
        "reconstruction_grey_border": value_or_reason(partial(_reconstructed, observed, options, ground)),
    }


METRIC = Metric(
    name="border",
    outputs=(
        Output(
            metric="grey_border",
            label="Grey border of samples",
            unit="share",
            better="lower",
            scale="share",
            smallest_effect=0.02,  # one border pixel in fifty
            role="secondary",
            about="Share of the border pixels of samples that are not background, by more than a tenth of the range.",
            topic=topics.SAMPLES,
        ),
        Output(
            metric="reconstruction_grey_border",
            label="Grey border of reconstructions",
            unit="share",
            better="lower",
            scale="share",
            smallest_effect=0.02,  # as above
            role="secondary",
            about="The same share of reconstructions of test images shifted by up to 10 % of the side, or the share "
            "given in the options, and filled with background, or with the value given there.",
            topic=topics.TRANSLATION,
        ),
    ),
    compute=_compute,
    options=Options,
    source="after Figure 2b of VAE vs GAN vs VAE-GAN (University of Toronto, 2021)",
    blind_spots="Strokes that reach the border. They are frequent in data whose background does not reach the border.",
)
